"""Sealing a store, changing its key, or unsealing it: in batches, so that it can be cut off and taken up again."""

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from index import audit
from index.connection import RESTORE, claim, connect, inspect, translated
from index.errors import GalleryBusy, GalleryCorrupt, StoreKeyWrong
from index.holders import in_words, users
from index.migrate import migrate
from index.rows import NEGATIVE, TEMPLATE, Row, crc, size_of
from index.schema import SCHEMA_VERSION
from index.scrub import scrub
from index.sealing import Cipher, Plain, Sealing, Table, place, sealed_by_key, sealing_of
from index.snapshots import folder_of

_COLUMNS: Final[Mapping[Table, str]] = {"templates": TEMPLATE, "negatives": NEGATIVE}
_BATCH: Final = 2000  # rows a transaction


@dataclass(frozen=True, slots=True)
class Resealed:
    before: str
    """Id of the key; empty: plain."""
    after: str
    embeddings: int
    """That were sealed anew; after a change that was cut off, those that were left."""
    erased: bool
    """Whether what was there before is in no file any more. False: a process keeps a read of the store open."""


def reseal(
    path: Path,
    environment: Mapping[str, str],
    at: str,
    *,
    plain: bool = False,
    report_progress: Callable[[int], None] = lambda _: None,
) -> Resealed:
    """Bring every embedding of the store at `path` under HEIRLOOM_STORE_KEY; `plain`: under no key.

    The key that the store was sealed with before is in HEIRLOOM_STORE_KEY_OLD. at: ISO 8601, UTC. Backups stay under
    the key that they were taken with.
    Raises GalleryBusy while another process has the store open, GalleryCorrupt, and what `sealing_of` and
    `sealed_by_key` raise.
    """
    if inspect(path) < SCHEMA_VERSION:
        migrate(path, at)
    with translated(path), closing(connect(path)) as connection:
        try:
            claim(connection, path)
        except GalleryBusy:
            remedy = "Stop it first: it holds the key that goes."
            raise GalleryBusy(f"in use by {in_words(users(path))}", str(path), remedy) from None
        state, store_id = connection.execute("SELECT sealed, store_id FROM store").fetchone()
        goal = Plain() if plain else sealed_by_key(store_id, environment).new
        changing = _changing(sealing_of(state, store_id, environment), goal, path)
        if changing.old is None:
            return Resealed(state, state, 0, erased=True)
        connection.execute("UPDATE store SET sealed = ?", (changing.state,))  # from here on both kinds of rows open
        count = sum(_reseal(connection, path, changing, table, report_progress) for table in _COLUMNS)
        _finish(connection, changing, count, at)
        shutil.rmtree(folder_of(path), ignore_errors=True)  # made of what was plain
        return Resealed(changing.old.key_id, goal.key_id, count, scrub(connection))


def _changing(now: Sealing, goal: Cipher, path: Path) -> Sealing:
    """From what is to what is wanted. Nothing is to be done where `old` is None."""
    if now.new.key_id == goal.key_id:
        return now
    if now.old is not None:
        raise StoreKeyWrong(
            f"a change to {_name(now.new)} was begun, and is to be finished first, of", str(path), "Set its keys."
        )
    return Sealing(goal, now.new)


def _reseal(
    connection: sqlite3.Connection, path: Path, changing: Sealing, table: Table, report_progress: Callable[[int], None]
) -> int:
    """How many rows were sealed anew; those that were already are left as they are."""
    count, last = 0, 0
    while batch := _batch(connection, table, last):
        changed = [_sealed_anew(path, changing, table, row, size) for row, size in batch]
        rows = [row for row in changed if row is not None]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(f"UPDATE {table} SET embedding = ?, crc = ? WHERE id = ?", rows)  # noqa: S608
        connection.execute("COMMIT")
        count, last = count + len(rows), batch[-1][0][0]
        report_progress(len(batch))
    return count


def _batch(connection: sqlite3.Connection, table: Table, after: int) -> list[tuple[Row, int]]:
    """The next rows, each with the bytes of its embedding when it is not sealed."""
    columns = ", ".join(f"t.{column.strip()}" for column in _COLUMNS[table].split(","))
    rows = connection.execute(
        f"SELECT json_extract(c.space, '$.dim'), {columns} FROM {table} AS t"  # noqa: S608 - names of ours
        " JOIN subjects AS s ON s.number = t.subject JOIN collections AS c ON c.number = s.collection"
        " WHERE t.id > ? ORDER BY t.id LIMIT ?",
        (after, _BATCH),
    )
    return [(row, size_of(dim)) for dim, *row in rows]


def _sealed_anew(path: Path, changing: Sealing, table: Table, row: Row, size: int) -> tuple[bytes, int, int] | None:
    """Embedding, checksum and id of the row under the new key; None when it is under it. Raises SealBroken."""
    *fields, found = row
    number, subject, model_id, *rest, embedding = fields
    if found != crc(*fields):  # a new checksum would hide it
        raise GalleryCorrupt(f"row {number} of {table} fails its checksum", str(path), RESTORE)
    if changing.new.owns(embedding, size):
        return None
    where = place(table, number, subject, model_id)
    sealed = changing.seal(changing.open(embedding, where, size), where)
    return sealed, crc(number, subject, model_id, *rest, sealed), number


def _finish(connection: sqlite3.Connection, changing: Sealing, count: int, at: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    (salt,) = connection.execute("SELECT salt FROM store").fetchone()
    connection.execute("UPDATE store SET sealed = ?, scrub_pending = scrub_pending + 1", (changing.new.key_id,))
    audit.append(
        connection,
        salt=salt,
        actor="cli",
        action="seal",
        collection="",
        subject_id=None,
        body={"from": _name(changing.old), "to": _name(changing.new), "embeddings": count},
        at=at,
    )
    connection.execute("COMMIT")


def _name(cipher: Cipher | None) -> str:
    return f"key {cipher.key_id}" if cipher is not None and cipher.key_id else "plain"
