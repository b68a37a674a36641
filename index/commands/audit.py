"""`index audit`: the log of who did what to whom."""

from pathlib import Path

import click

from faces.console import Commands
from index.audit import parse_head
from index.commands import options, words
from index.ledger import Query, show_log, verify_log


@click.group(cls=Commands)
def audit() -> None:
    """Read the log of who did what to whom, and find out whether anybody changed it."""


@audit.command()
@options.gallery
@click.option("--head", help="NUMBER:HASH, as an earlier run printed it: tells a log that was cut off or written anew.")
@options.as_json
@click.pass_context
def verify(ctx: click.Context, path: Path, head: str | None, as_json: bool) -> None:
    """Say which rows were changed, removed or moved, and print the head to keep. Exit code 1 when any was."""
    state = verify_log(path, None if head is None else parse_head(head))
    options.show(state, as_json, words.log_verified)
    ctx.exit(1 if state.faults else 0)


@audit.command("show")
@options.gallery
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many rows.")
@click.option("--before", type=int, help="Only rows with lower numbers: the next page.")
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
