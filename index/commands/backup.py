"""`index backup`, `index restore`."""

from datetime import UTC, datetime
from pathlib import Path

import click

from index import backup as backups
from index import restore as restoring
from index.commands import options, words


@click.command()
@options.gallery
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="A file or a folder of yours, which `forget` does not reach.  [default: GALLERY.backups/]",
)
@options.as_json
def backup(path: Path, to: Path | None, as_json: bool) -> None:
    """Write a backup of a whole file while it is in use, and check it row by row."""
    options.show(backups.back_up(path, to, datetime.now(UTC)), as_json, words.backed_up)


@click.command()
@click.argument("backup", type=click.Path(path_type=Path))
@options.gallery
@click.option("--force", is_flag=True, help="Replace the file that is there; it is kept in GALLERY.backups/.")
@options.as_json
def restore(backup: Path, path: Path, force: bool, as_json: bool) -> None:
    """Make the gallery's file what BACKUP holds. Who was forgotten since stays forgotten where that can be known."""
    options.show(restoring.restore(backup, path, datetime.now(UTC), force=force), as_json, words.restored)
