"""The log of what happened to Templates, in numbers alone: what a cache replays instead of reading everything anew."""

import sqlite3
from collections.abc import Iterable
from typing import Final, Literal

from index.errors import CollectionUnknown

KEPT: Final = 262_144
"""Operations that stay in the log. A cache that is further behind is made anew."""

_PRUNE_EVERY: Final = 4096  # operations

Kind = Literal["enrol", "erase", "move", "subject", "setting"]


def record(connection: sqlite3.Connection, collection: int, kind: Kind, rows: Iterable[tuple[int, int]]) -> None:
    """Add to the log. rows: (Template id, number of the Subject that has it afterwards).

    `subject`: somebody came, went or changed, and no Template with it; `setting`: how the collection is searched did.
    Raises CollectionUnknown.
    """
    before = _last(connection)
    connection.executemany(
        "INSERT INTO operations (collection, kind, template, subject) VALUES (?, ?, ?, ?)",
        ((collection, kind, template, subject) for template, subject in rows),
    )
    last = _last(connection)
    if not connection.execute("UPDATE collections SET seq = ? WHERE number = ?", (last, collection)).rowcount:
        raise CollectionUnknown("no longer a collection: number", collection, "It was deleted: open the gallery anew.")
    if last // _PRUNE_EVERY > before // _PRUNE_EVERY:
        _prune(connection, last - KEPT)


def _last(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'operations'").fetchone()
    return 0 if row is None else int(row[0])


def _prune(connection: sqlite3.Connection, upto: int) -> None:
    connection.execute(
        "UPDATE collections SET pruned = gone.seq FROM"
        " (SELECT collection, max(seq) AS seq FROM operations WHERE seq <= ? GROUP BY collection) AS gone"
        " WHERE gone.collection = number",
        (upto,),
    )
    connection.execute("DELETE FROM operations WHERE seq <= ?", (upto,))


def moves_since(connection: sqlite3.Connection, collection: int, seq: int) -> list[tuple[str, int, int]]:
    """(erase or move, Template id, Subject's number) of all that happened here after `seq`, in order."""
    return connection.execute(
        "SELECT kind, template, subject FROM operations WHERE seq > ? AND collection = ? AND kind IN ('erase', 'move')"
        " ORDER BY seq",
        (seq, collection),
    ).fetchall()
