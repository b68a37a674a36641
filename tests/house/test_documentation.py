"""What the documentation tells its reader to type exists, and what it points to is there."""

import importlib
import re
from pathlib import Path
from typing import Literal

import click
import pytest

from faces.space import read_card
from tests.house.commands import commands

PROGRAMS = ("app", "index", "kd")
ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
COMMANDS = [(page, words) for page in PAGES for words in commands(page)]
OTHERS = {"make", "source", "curl", "docker", "export", "sudo"}


def _typed(*programs: str) -> list[object]:
    """The commands of these programs, each under the page that it stands on."""
    return [
        pytest.param(words, id=f"{page.name}: {' '.join(words)}") for page, words in COMMANDS if words[0] in programs
    ]


def test_the_reader_meets_no_program_that_nobody_introduced() -> None:
    assert {words[0] for _, words in COMMANDS} == OTHERS | set(PROGRAMS)


@pytest.mark.parametrize("words", _typed(*PROGRAMS))
def test_a_documented_command_is_understood(words: list[str]) -> None:
    """Every option exists, has a value where it takes one, and nothing that is required is missing."""
    _parse(_main(words[0]), words[1:])


@pytest.mark.parametrize("words", _typed("make"))
def test_a_documented_target_can_be_made(words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {word for word in words[1:] if "=" not in word} <= set(targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_to_a_file_leads_to_it(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_command_says_what_it_does(name: str) -> None:
    for command in _main(name).commands.values():
        assert command.help, command.name


@pytest.mark.parametrize(("name", "cell"), [("dlib", "T→T"), ("base-dlib", "S→T"), ("small-dlib", "S→T")])
def test_the_readme_gives_the_figures_of_the_cards(name: str, cell: Literal["T→T", "S→T"]) -> None:
    card = read_card(ROOT / "models" / name / "card.json")
    few, many = (card.measured[f"lfw-dev-{subjects}"][cell] for subjects in (370, 1010))
    rates = f"{few.fnir['0.1']:.3f} / {few.fnir['0.01']:.3f}"
    row = f"| {name} ({cell}) | {card.parameters:,} | {few.pairs:.3f} | {few.rank1:.3f} | {rates} | {many.rank1:.3f} |"
    assert row in (ROOT / "README.md").read_text()


def _main(program: str) -> click.Group:
    group = importlib.import_module(f"{program}.cli").main
    assert isinstance(group, click.Group)
    return group


def _parse(group: click.Group, words: list[str]) -> None:
    if words[0].startswith("--"):
        assert words == ["--help"]
        return
    command = group.commands[words[0]]
    if isinstance(command, click.Group):
        _parse(command, words[1:])
        return
    context = click.Context(command, info_name=words[0])
    given, arguments, _ = command.make_parser(context).parse_args(list(words[1:]))
    assert arguments == []
    for parameter in command.params:
        assert not parameter.required or given.get(parameter.name or "") is not None, f"missing: {parameter.name}"
