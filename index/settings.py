"""What a collection remembers beside its Subjects: settings and thresholds. Functions of a connection."""

import sqlite3
from collections.abc import Iterable
from typing import Final

from pydantic import TypeAdapter

from index.collection import Change, Collection
from index.contract import GalleryStats
from index.threshold import Threshold

_THRESHOLD: Final = TypeAdapter(Threshold)


def read(connection: sqlite3.Connection, of: Collection, name: str) -> str | None:
    """The value of a setting; None when it was never made."""
    row = connection.execute(
        "SELECT value FROM settings WHERE collection = ? AND name = ?", (of.number, name)
    ).fetchone()
    return None if row is None else str(row[0])


def write(connection: sqlite3.Connection, of: Collection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?, ?)", (of.number, name, value))


def thresholds(connection: sqlite3.Connection, of: Collection, model_id: str) -> list[Threshold]:
    """Those kept for probes by this Model, the highest FPIR first."""
    rows = connection.execute(
        "SELECT body FROM thresholds WHERE collection = ? AND model_id = ? ORDER BY fpir DESC", (of.number, model_id)
    )
    return [_THRESHOLD.validate_json(body) for (body,) in rows]


def put_thresholds(change: Change, found: Iterable[Threshold]) -> None:
    """In place of those kept for the same Model and FPIR. One that stands for no FPIR is nothing to keep."""
    for threshold in found:
        if threshold.fpir is None:
            continue
        change.connection.execute(
            "INSERT OR REPLACE INTO thresholds VALUES (?, ?, ?, ?)",
            (change.of.number, threshold.model_id, threshold.fpir, _THRESHOLD.dump_json(threshold).decode()),
        )
        change.tell("put_threshold", None, {"model_id": threshold.model_id, "fpir": threshold.fpir})


def stats(connection: sqlite3.Connection, of: Collection) -> GalleryStats:
    """Raises CollectionUnknown."""
    of.require_there(connection)
    row = connection.execute("SELECT subjects, seq FROM collections WHERE number = ?", (of.number,)).fetchone()
    models = dict(connection.execute("SELECT model_id, templates FROM tallies WHERE collection = ?", (of.number,)))
    return GalleryStats(row[0], sum(models.values()), row[1], of.space.space_id, models)
