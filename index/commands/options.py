"""What the commands of `index` have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from faces.console import echo_json
from index.device import DEVICES
from index.gallery import DEFAULT

T = TypeVar("T")

gallery = click.option(
    "--gallery", "path", required=True, type=click.Path(path_type=Path), help="The gallery's file (PEOPLE.heirloom)."
)
collection = click.option("--collection", default=DEFAULT, show_default=True, help="Which of the file's collections.")
device = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="Where the gallery is searched; auto: on GPUs where faiss-gpu finds one.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


def show(value: T, as_json: bool, in_words: Callable[[T], str]) -> None:
    """Print a result on stdout."""
    shown: Any = value
    if as_json:
        echo_json(shown)
    else:
        click.echo(in_words(value))
