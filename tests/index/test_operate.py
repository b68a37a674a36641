"""The commands of docs/operate.md that look after a gallery work, in the order in which they are shown."""

import base64
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from index import cli
from index.gallery import create_gallery
from tests.house.commands import at_any_time
from tests.index.fakes import SPACE, random_rows, templates

PAGE = (Path(__file__).parents[2] / "docs" / "operate.md").read_text()
HEADINGS = (
    "Erase somebody for good",
    "Back up and restore",
    "Encrypt embeddings",
    "The audit log",
    "Move a collection",
)


def commands(heading: str) -> list[str]:
    section = PAGE.split(f"\n## {heading}")[1].split("\n## ")[0]
    return [line for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]


def set_variable(monkeypatch: pytest.MonkeyPatch, line: str, key: bytes) -> None:
    name, _, value = line.removeprefix("export ").partition("=")
    old = {"$HEIRLOOM_STORE_KEY": base64.b64encode(bytes(range(32))).decode()}
    monkeypatch.setenv(name, old.get(value, base64.b64encode(key).decode()))


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_commands_of_the_page_work(heading, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with create_gallery(Path("people.heirloom"), SPACE) as gallery:
        for number, person in enumerate(["ada", "bob", "cy"]):
            gallery.enrol(person, templates(*random_rows(2, seed=number)), space=SPACE)
    variables = 0
    for line in commands(heading):
        if line.startswith("export "):
            set_variable(monkeypatch, line, bytes(range(variables * 32, variables * 32 + 32)))
            variables += 1
            continue
        program, *words = at_any_time(shlex.split(line))
        result = CliRunner().invoke(cli.main, words)
        assert (program, result.exit_code) == ("index", 0), f"{line}: {result.output}"


@pytest.mark.parametrize("command", sorted({*cli.main.commands} - {"search", "calibrate"}))
def test_every_command_that_looks_after_a_gallery_is_on_the_page(command):
    assert f"index {command}" in PAGE
