"""What a collection remembers beside its Subjects: settings and thresholds. Functions of a connection."""

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from pydantic import TypeAdapter, ValidationError

from index.collection import Change, Collection
from index.contract import GalleryStats, Search
from index.recall import Approximation
from index.rows import Row, crc
from index.threshold import Threshold

THRESHOLD: Final = "collection, model_id, fpir, body"
_THRESHOLD: Final = TypeAdapter(Threshold)
_APPROXIMATION: Final = TypeAdapter(Approximation)
_APPROXIMATE: Final = "approximate"  # the setting; empty or not there: searched exactly
_CRC: Final = "\n"  # between a threshold's JSON and the checksum of its row


def read(connection: sqlite3.Connection, of: Collection, name: str) -> str | None:
    """The value of a setting; None when it was never made."""
    row = connection.execute(
        "SELECT value FROM settings WHERE collection = ? AND name = ?", (of.number, name)
    ).fetchone()
    return None if row is None else str(row[0])


def write(connection: sqlite3.Connection, of: Collection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?, ?)", (of.number, name, value))


def thresholds(connection: sqlite3.Connection, of: Collection, model_id: str) -> list[Threshold]:
    """Those kept for probes by this Model, the highest FPIR first. Raises GalleryCorrupt."""
    rows = connection.execute(
        f"SELECT {THRESHOLD} FROM thresholds WHERE collection = ? AND model_id = ? ORDER BY fpir DESC",  # noqa: S608
        (of.number, model_id),
    ).fetchall()
    for row in rows:
        of.require_sound(threshold_fault(row))
    return [_THRESHOLD.validate_json(row[-1].partition(_CRC)[0]) for row in rows]


def threshold_fault(row: Row) -> str | None:
    """What is wrong with a row of `thresholds`, if anything. Those of earlier versions carry no checksum."""
    *key, body = row
    text, _, found = body.partition(_CRC)
    try:
        _THRESHOLD.validate_json(text)
        sound = not found or int(found) == crc(*key, text)
    except ValueError:
        sound = False
    return None if sound else f"a threshold of model {key[1]} fails its checksum"


def put_thresholds(change: Change, found: Iterable[Threshold]) -> None:
    """In place of those kept for the same Model and FPIR. One that stands for no FPIR is nothing to keep."""
    for threshold in found:
        if threshold.fpir is None:
            continue
        key, text = (change.of.number, threshold.model_id, threshold.fpir), _THRESHOLD.dump_json(threshold).decode()
        change.connection.execute(
            "INSERT OR REPLACE INTO thresholds VALUES (?, ?, ?, ?)", (*key, f"{text}{_CRC}{crc(*key, text)}")
        )
        change.tell("put_threshold", None, {"model_id": threshold.model_id, "fpir": threshold.fpir})


def approximation(connection: sqlite3.Connection, collection: int) -> Approximation | None:
    """Of the collection with this number. None: it is searched exactly."""
    row = connection.execute(
        "SELECT value FROM settings WHERE collection = ? AND name = ?", (collection, _APPROXIMATE)
    ).fetchone()
    with suppress(ValidationError):  # damaged: then nobody is missed
        return _APPROXIMATION.validate_json(row[0]) if row and row[0] else None
    return None


def put_approximation(change: Change, wanted: Approximation | None) -> None:
    """None: search exactly. Caches hear of it as of a write."""
    write(change.connection, change.of, _APPROXIMATE, _APPROXIMATION.dump_json(wanted).decode() if wanted else "")
    change.record("setting", [(0, 0)])
    body = {"templates": wanted.templates, "recall": wanted.recall.first} if wanted else {}
    change.tell("search_approximately" if wanted else "search_exactly", None, body)


def stats(connection: sqlite3.Connection, of: Collection) -> GalleryStats:
    """Raises CollectionUnknown."""
    of.require_there(connection)
    row = connection.execute("SELECT subjects, seq FROM collections WHERE number = ?", (of.number,)).fetchone()
    models = dict(connection.execute("SELECT model_id, templates FROM tallies WHERE collection = ?", (of.number,)))
    templates, wanted = sum(models.values()), approximation(connection, of.number)
    search: Search = "approximate" if wanted is not None and templates >= wanted.templates else "exact"
    return GalleryStats(row[0], templates, row[1], of.space.space_id, models, search)
