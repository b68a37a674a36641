"""`index export`, `index import`, `index subject`."""

import os
from pathlib import Path

import click

from faces.console import echo_json
from index import dossier
from index.commands import options, words
from index.exchange import export_collection, import_collection, require_importable
from index.parcel import SIGNING_KEY, signer_of
from index.store import create_store, open_store


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@options.gallery
@options.collection
@options.as_json
def export(file: Path, path: Path, collection: str, as_json: bool) -> None:
    """Write a collection to FILE, signed with the key in HEIRLOOM_SIGNING_KEY. Embeddings in it are in the clear."""
    signer = signer_of(os.environ)
    with open_store(path) as store:
        exported = export_collection(store, collection, file, signer)
    options.show(exported, as_json, words.exported)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@options.gallery
@click.option("--collection", help="Take it in under this name.  [default: the one it has]")
@click.option(
    "--signed-by",
    "trusted",
    multiple=True,
    help=f"Public key of somebody trusted, as `index export` printed it. Repeatable.  [default: that of {SIGNING_KEY}]",
)
@options.as_json
def import_(file: Path, path: Path, collection: str | None, trusted: tuple[str, ...], as_json: bool) -> None:
    """Take in a collection from FILE. Subjects that are there already are listed, and left as they are."""
    keys = trusted or ((signer_of(os.environ).public,) if os.environ.get(SIGNING_KEY) else ())
    if not path.exists():
        require_importable(file, keys, collection)  # before there is a gallery of nobody
    with open_store(path) if path.exists() else create_store(path) as store:
        imported = import_collection(store, file, keys, collection=collection)
    options.show(imported, as_json, words.imported)


@click.command()
@click.argument("subject")
@options.gallery
@click.option("--embeddings", is_flag=True, help="The numbers as well.")
@click.option("--json", "_", is_flag=True, help="Print JSON on stdout, as it does anyhow.")
def subject(subject: str, path: Path, embeddings: bool, _: bool) -> None:
    """Print all that is held on SUBJECT, in every collection, and what was done with it: for that person."""
    with open_store(path) as store:
        echo_json(dossier.export_subject(store, subject, embeddings=embeddings))
