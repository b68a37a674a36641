"""What the three programs share on a terminal: errors in one line, progress, JSON.

Results go to stdout, everything else to stderr, so that `--json` stays clean. No other module of `faces` knows click
or rich.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import click
from pydantic_core import to_json
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from faces.errors import FacesError

Advance = Callable[[int], None]
"""Report that so many more steps are done."""

_INTERRUPTED: Final = 130  # what a shell expects of a program ended by Ctrl-C: 128 + SIGINT
_LINE_EVERY: Final = 60.0  # seconds


class Commands(click.Group):
    """A group whose commands catch nothing.

    FacesError becomes one line on stderr and exit code 1 (click's own usage errors: 2), and so do files that may not
    be read or written and bytes typed that are no UTF-8; Ctrl-C a word and 130. A reader that closed the pipe ends the
    program quietly: click sees to that.
    """

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except FacesError as error:
            raise click.ClickException(" ".join(str(error).splitlines())) from error
        except PermissionError as error:
            remedy = "Give another place, or the right to this one."
            raise click.ClickException(f"permission denied: {error.filename!r}. {remedy}") from error
        except UnicodeEncodeError as error:  # of an argument: Python reads what is no UTF-8 as halves of characters
            raise click.ClickException(f"not UTF-8: {error.object!r}. Type it in UTF-8.") from error
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(_INTERRUPTED)


class Finite(click.FloatRange):
    """A number within bounds; click's own range lets NaN through, and infinity where a bound is missing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = click.FLOAT.convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return super().convert(number, param, ctx)


def progress(description: str, total: int | None, *, done: int = 0) -> AbstractContextManager[Advance]:
    """Show how far long work is: a bar on a terminal, else a line a minute and one at the end; always on stderr.

    total: steps in all, None where nobody knows. done: of these, before now.
    The context gives the function to call after each step or batch.
    """
    return _bar(description, total, done) if sys.stderr.isatty() else progress_lines(description, total, done=done)


@contextmanager
def progress_lines(
    description: str, total: int | None, *, done: int = 0, clock: Callable[[], float] = time.monotonic
) -> Iterator[Advance]:
    """`progress` where nobody watches: for log files."""
    started = spoken = clock()
    before = done

    def line() -> str:
        seconds = clock() - started
        of = "" if total is None else f" of {total}"
        return f"{description}: {done}{of}, {seconds:.0f} s, {(done - before) / max(seconds, 1e-9):.1f} a second"

    def advance(steps: int) -> None:
        nonlocal done, spoken
        done += steps
        if clock() - spoken >= _LINE_EVERY:
            spoken = clock()
            click.echo(line(), err=True)

    try:
        yield advance
    finally:
        click.echo(line(), err=True)


@contextmanager
def _bar(description: str, total: int | None, done: int) -> Iterator[Advance]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total, completed=done)
        yield lambda steps: bar.advance(task, steps)


def echo_json(value: object) -> None:
    """Print a value on stdout as indented JSON; dataclasses, paths and dates included, infinities as null."""
    click.echo(to_json(value, indent=2, inf_nan_mode="null").decode())
