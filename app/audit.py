"""`app audit`: was the record of what the service did changed?"""

from pathlib import Path

import click

from app.keys import as_json, gallery
from app.schemas_audit import AuditVerdict
from faces.console import Commands, echo_json
from index.audit import head as last_row
from index.audit import parse_head
from index.audit import verify as faults
from index.store import open_store


@click.group(cls=Commands)
def audit() -> None:
    """Look after the audit log of a gallery."""


@audit.command()
@gallery
@click.option("--head", help="The head that an earlier run printed, NUMBER:HASH: tells a log that was written anew.")
@as_json
@click.pass_context
def verify(context: click.Context, path: Path, head: str | None, json_wanted: bool) -> None:
    """Check every row against the chain of hashes. Prints the head, to be kept where nobody can write who can here.

    Exit code 1 when something is wrong.
    """
    kept = None if head is None else parse_head(head)
    with open_store(path) as store:
        answer = store.read(lambda connection: AuditVerdict.of(faults(connection, kept), last_row(connection)))
    if json_wanted:
        echo_json(answer)
    else:
        click.echo("\n".join([*answer.problems, f"head {answer.head}"]))
    context.exit(0 if answer.ok else 1)
