"""One line for an error, a line a minute for progress, JSON alone on stdout."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from faces.console import Commands, echo_json, progress, progress_lines
from faces.errors import ModelUnknown


def run(body: object) -> Result:
    """What a program with one command does whose body raises, or calls, `body`."""

    @click.group(cls=Commands)
    def main() -> None:
        pass

    @main.command()
    def act() -> None:
        if isinstance(body, BaseException):
            raise body
        assert callable(body)
        body()

    return CliRunner().invoke(main, ["act"])


def test_an_error_is_one_line_on_stderr_and_exit_code_1():
    result = run(ModelUnknown("no such\nModel", "zoe", "Choose another."))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: no such Model: 'zoe'. Choose another.\n"


def test_ctrl_c_is_one_word_and_exit_code_130():
    result = run(KeyboardInterrupt())
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


def test_a_reader_that_went_away_gets_no_traceback():
    program = (
        "import click, faces.console\n"
        "@click.group(cls=faces.console.Commands)\n"
        "def main(): pass\n"
        "@main.command()\n"
        "def act():\n"
        "    for n in range(100_000): click.echo(n)\n"
        "main(['act'])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == ""


def test_progress_off_a_terminal_is_a_line_a_minute_and_one_at_the_end(capsys: pytest.CaptureFixture[str]):
    now = 0.0
    with progress_lines("photos", 300, clock=lambda: now) as advance:
        for _ in range(3):
            now += 30
            advance(100)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["photos: 200 of 300, 60 s, 3.3 a second", "photos: 300 of 300, 90 s, 3.3 a second"]


def test_progress_says_where_it_stood_when_the_work_failed(capsys: pytest.CaptureFixture[str]):
    def fail_after_seven() -> None:
        with progress_lines("photos", None, clock=lambda: 0.0) as advance:
            advance(7)
            raise ModelUnknown("no such Model", "zoe", "Choose another.")

    with pytest.raises(ModelUnknown):
        fail_after_seven()
    assert capsys.readouterr().err.startswith("photos: 7, 0 s")


def test_what_is_no_terminal_gets_lines(capsys: pytest.CaptureFixture[str]):
    with progress("photos", 9) as advance:
        advance(9)
    assert capsys.readouterr().err.startswith("photos: 9 of 9, ")


@dataclass(frozen=True, slots=True)
class Report:
    path: Path
    names: tuple[str, ...]
    threshold: float


def test_dataclasses_are_printed_as_json(capsys: pytest.CaptureFixture[str]):
    echo_json(Report(Path("a/b"), ("Zoë",), float("inf")))
    assert json.loads(capsys.readouterr().out) == {"path": "a/b", "names": ["Zoë"], "threshold": None}
