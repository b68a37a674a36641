"""`index forget`: erase somebody for good, and prove it."""

from pathlib import Path

import click

from index.commands import options, words
from index.erase import forget_and_prove
from index.gallery import open_gallery
from index.holders import readers


@click.command()
@click.argument("subject")
@options.gallery
@options.collection
@click.option(
    "--verify", is_flag=True, help="Look for the bytes in every file before and after. Reads all of them twice."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.as_json
@click.pass_context
def forget(
    ctx: click.Context, subject: str, path: Path, collection: str, verify: bool, yes: bool, as_json: bool
) -> None:
    """Erase SUBJECT and every Template of it for good, from the backups in GALLERY.backups/ as well.

    Exit code 1 when the erasure is not complete: a reader is in the way, or a backup cannot be opened.
    """
    if not yes:
        click.confirm(f"Erase {subject} and every Template of it for good?", abort=True, err=True)
    if waiting := words.waiting_for(readers(path)):
        click.echo(waiting, err=True)
    if verify:
        proof = forget_and_prove(path, subject, collection)
        options.show(proof, as_json, words.proved)
        receipt, done = proof.receipt, proof.erased
    else:
        with open_gallery(path, collection) as gallery:
            receipt = gallery.forget(subject)
        options.show(receipt, as_json, words.forgotten)
        done = receipt.erased_at is not None
    if receipt.erased_at is None and not receipt.left_in:
        click.echo(words.blocked_by(readers(path)), err=True)
    ctx.exit(0 if done else 1)
