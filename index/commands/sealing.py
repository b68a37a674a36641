"""`index seal`, `index rotate-key`, `index unseal`: the service has to be stopped for them."""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from faces.console import progress
from index.commands import options, words
from index.reseal import Resealed, reseal


@click.command()
@options.gallery
@options.as_json
def seal(path: Path, as_json: bool) -> None:
    """Encrypt every embedding with the key in HEIRLOOM_STORE_KEY, and erase what was in the clear."""
    options.show(_resealed(path, plain=False), as_json, words.resealed)


@click.command("rotate-key")
@options.gallery
@options.as_json
def rotate_key(path: Path, as_json: bool) -> None:
    """Encrypt every embedding anew: from the key in HEIRLOOM_STORE_KEY_OLD to that in HEIRLOOM_STORE_KEY.

    Cut off, it goes on when it is run again; until then both keys are needed.
    """
    options.show(_resealed(path, plain=False), as_json, words.resealed)


@click.command()
@options.gallery
@options.as_json
def unseal(path: Path, as_json: bool) -> None:
    """Keep every embedding in the clear again."""
    options.show(_resealed(path, plain=True), as_json, words.resealed)


def _resealed(path: Path, *, plain: bool) -> Resealed:
    with progress("embeddings", None) as advance:
        return reseal(path, os.environ, datetime.now(UTC).isoformat(), plain=plain, report_progress=advance)
