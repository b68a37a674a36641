"""`index audit`: the log of who did what to whom."""

from datetime import UTC, datetime
from pathlib import Path

import click

from faces.console import Commands
from index.audit import parse_head
from index.commands import options, words
from index.gallery import utc_now
from index.ledger import Query, archive_log, show_log, verify_log

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Commands)
def audit() -> None:
    """Read the log of who did what to whom, and find out whether anybody changed it."""


@audit.command()
@options.gallery
@click.option("--head", help="NUMBER:HASH, as an earlier run printed it: tells a log that was cut off or written anew.")
@click.option("--archive", "archives", multiple=True, type=_FILE, help="What archive wrote, oldest first; repeatable.")
@options.as_json
@click.pass_context
def verify(ctx: click.Context, path: Path, head: str | None, archives: tuple[Path, ...], as_json: bool) -> None:
    """Say which rows were changed, removed or moved, and print the head to keep. Exit code 1 when any was."""
    state = verify_log(path, None if head is None else parse_head(head), archives)
    options.show(state, as_json, words.log_verified)
    ctx.exit(1 if state.faults else 0)


@audit.command("show")
@options.gallery
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many rows.")
@click.option("--before", type=click.IntRange(1, 2**63 - 1), help="Only rows with lower numbers: the next page.")
@click.option("--collection", help="Only this one's.")
@click.option("--action", help="Only these: identify, enrol, forget …")
@click.option("--subject", "subject_id", help="Only what was done with this one; the log itself knows no ids.")
@options.as_json
def show_(
    path: Path,
    limit: int,
    before: int | None,
    collection: str | None,
    action: str | None,
    subject_id: str | None,
    as_json: bool,
) -> None:
    """Print rows of the log, newest first."""
    entries = show_log(path, Query(limit, before, collection, action, subject_id))
    options.show(entries, as_json, words.log_shown)


@audit.command()
@click.argument("to", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@options.gallery
@click.option("--before", required=True, type=click.DateTime(), help="Rows from before this day or moment, in UTC.")
@options.as_json
def archive(path: Path, to: Path, before: datetime, as_json: bool) -> None:
    """Move old rows into FILE, and out of the log, which goes on from there. A service may run meanwhile."""
    done = archive_log(path, to, before.replace(tzinfo=UTC), utc_now())
    options.show(done, as_json, words.log_archived)
