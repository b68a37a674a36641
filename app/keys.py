"""`app keys`: who may ask a service, and for what."""

from datetime import UTC, datetime, time
from pathlib import Path

import click

from faces.console import Commands, echo_json
from index.access import SCOPES, AccessKey, Grant
from index.keyring import Keyring
from index.store import open_store

gallery = click.option(
    "--gallery",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    envvar="HEIRLOOM_GALLERY",
    help="The gallery's file (PEOPLE.heirloom).",
)
as_json = click.option("--json", "json_wanted", is_flag=True, help="Print JSON on stdout.")


@click.group(cls=Commands)
def keys() -> None:
    """Create, list and revoke the API keys of a gallery. A running service heeds each change with its next request."""


@keys.command()
@click.argument("label")
@gallery
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="What it may do. Repeatable."
)
@click.option("--collection", "collections", multiple=True, help="For this one alone. Repeatable.  [default: all]")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="Its last day, UTC.  [default: never]")
@as_json
def create(
    label: str,
    path: Path,
    scopes: tuple[str, ...],
    collections: tuple[str, ...],
    expires: datetime | None,
    json_wanted: bool,
) -> None:
    """Make a key for whoever LABEL says. It is printed now and never again."""
    grant = Grant(label, scopes, collections, None if expires is None else _end_of(expires))
    with open_store(path) as store:
        key, token = Keyring(store).create(grant, datetime.now(UTC))
    if json_wanted:
        echo_json({"key": _public(key), "token": token})
        return
    click.echo(_in_words(key), err=True)
    click.echo("This is the only time that it is shown:", err=True)
    click.echo(token)


@keys.command("list")
@gallery
@as_json
def list_(path: Path, json_wanted: bool) -> None:
    """Print every key there ever was, oldest first, without the secrets: nobody has them but their holders."""
    with open_store(path) as store:
        known = Keyring(store).keys()
    if json_wanted:
        echo_json([_public(key) for key in known])
    else:
        click.echo("\n".join(map(_in_words, known)) or "There is no key: a service on loopback asks for none.")


@keys.command()
@click.argument("key_id")
@gallery
@as_json
def revoke(key_id: str, path: Path, json_wanted: bool) -> None:
    """Refuse the key with this id from now on. A service goes on asking for keys after the last one is revoked."""
    with open_store(path) as store:
        key = Keyring(store).revoke(key_id, datetime.now(UTC))
    if json_wanted:
        echo_json(_public(key))
    else:
        click.echo(_in_words(key))


def _end_of(day: datetime) -> datetime:
    return datetime.combine(day, time.max, UTC)


def _public(key: AccessKey) -> dict[str, object]:
    return {name: getattr(key, name) for name in AccessKey.__slots__}


def _in_words(key: AccessKey) -> str:
    where = ", ".join(key.collections) or "all collections"
    until = f"revoked {key.revoked}" if key.revoked else f"until {key.expires}" if key.expires else "without end"
    return f"{key.key_id}  {key.label}: {', '.join(key.scopes)}; {where}; {until}"
