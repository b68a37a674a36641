"""Subjects in the store: looked up, made, changed, erased. Functions of a connection, to be run as jobs."""

import json
import sqlite3
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from index import repeats
from index.collection import Change, Collection
from index.contract import Subject, SubjectDetails, require_subject_id, require_text
from index.errors import SubjectExists, SubjectInvalid, SubjectUnknown
from index.rows import SUBJECT, Row, details_from_json, details_to_json, subject_fault, with_crc

NUMBER: Final = 0
SUBJECT_ID: Final = 2
"""Places in a row of `subjects`."""


class Keep(Enum):
    """What stands for `as it is` where None means something else."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP

Revise = Callable[[SubjectDetails], SubjectDetails]
"""From the details as they are to those that are to be."""


def find(connection: sqlite3.Connection, of: Collection, subject_id: str) -> Row | None:
    """The row of a Subject. Raises GalleryCorrupt."""
    row: Row | None = connection.execute(
        f"SELECT {SUBJECT} FROM subjects WHERE collection = ? AND subject_id = ?",  # noqa: S608 - names of ours
        (of.number, subject_id),
    ).fetchone()
    if row is not None:
        of.require_sound(subject_fault(row))
    return row


def require(connection: sqlite3.Connection, of: Collection, subject_id: str) -> Row:
    """The same. Raises SubjectUnknown, too."""
    row = find(connection, of, subject_id)
    if row is None:
        raise SubjectUnknown("no such Subject", subject_id, "Check the id that was enrolled.")
    return row


def read(connection: sqlite3.Connection, of: Collection, subject_id: str) -> Subject:
    """Raises SubjectUnknown."""
    return _subject(connection, require(connection, of, subject_id))


def page(connection: sqlite3.Connection, of: Collection, limit: int, after: str | None) -> list[Subject]:
    """Up to `limit` Subjects by their ids, strictly after `after`."""
    rows = connection.execute(
        f"SELECT {SUBJECT} FROM subjects WHERE collection = ? AND subject_id > ? ORDER BY subject_id LIMIT ?",  # noqa: S608
        (of.number, after or "", limit),
    ).fetchall()
    for row in rows:
        of.require_sound(subject_fault(row))
    return [_subject(connection, row) for row in rows]


def named(connection: sqlite3.Connection, of: Collection, numbers: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Number -> subject id and name, of those that are there. Raises GalleryCorrupt."""
    rows = connection.execute(
        f"SELECT {SUBJECT} FROM subjects WHERE number IN (SELECT value FROM json_each(?))",  # noqa: S608
        (json.dumps(list(numbers)),),
    ).fetchall()
    for row in rows:
        of.require_sound(subject_fault(row))
    return {row[NUMBER]: (row[SUBJECT_ID], row[3]) for row in rows if row[1] == of.number}


def put(
    change: Change, subject_id: str, name: str | None, details: SubjectDetails, expires: datetime | None
) -> Subject:
    """A new Subject without Templates. Raises SubjectExists, SubjectInvalid."""
    require_subject_id(subject_id)
    if find(change.connection, change.of, subject_id) is not None:
        raise SubjectExists("there is this Subject already", subject_id, "Update it, or choose another id.")
    number = _insert(change, subject_id, name, details, _text_of(expires))
    change.record("subject", [(0, number)])
    change.tell("put_subject", subject_id, {})
    return read(change.connection, change.of, subject_id)


def ensure(change: Change, subject_id: str, name: str | None) -> int:
    """The number of this Subject, made when it is new. None keeps the name it has; at first that is its id."""
    row = find(change.connection, change.of, subject_id)
    if row is None:
        return _insert(change, subject_id, name, SubjectDetails(), None)
    if name is not None and name != row[3]:
        write(change, (*row[:3], name, *row[4:-1]))
    return int(row[NUMBER])


def update(
    change: Change,
    subject_id: str,
    name: str | None,
    details: Revise | None,
    expires: datetime | Keep | None,
) -> Subject:
    """Raises SubjectUnknown, SubjectInvalid."""
    number, collection, _, old_name, old_details, old_expires, created, _ = require(
        change.connection, change.of, subject_id
    )
    if name is not None:
        require_text(name, "name")
    text = old_details if details is None else details_to_json(details(details_from_json(old_details)))
    until = old_expires if isinstance(expires, Keep) else _text_of(expires)
    write(change, (number, collection, subject_id, old_name if name is None else name, text, until, created))
    change.record("subject", [(0, number)])
    change.tell("update_subject", subject_id, {})
    return read(change.connection, change.of, subject_id)


def write(change: Change, fields: Row) -> None:
    """A row of `subjects`, without its checksum: a new one, or in place of the one with its number."""
    change.connection.execute(
        f"INSERT INTO subjects ({SUBJECT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET"  # noqa: S608
        " name = excluded.name, details = excluded.details, expires = excluded.expires, crc = excluded.crc",
        with_crc(*fields),
    )


def erase(change: Change, subject_id: str) -> int:
    """Delete a Subject and all that is known of it; how many Templates that were. Raises SubjectUnknown."""
    number = int(require(change.connection, change.of, subject_id)[NUMBER])
    ids, parts = erase_rows(change.connection, number)
    repeats.drop_mentions(change.connection, {subject_id, *parts.values()})
    if ids:
        change.record("erase", [(template, number) for template in ids])
    else:
        change.record("subject", [(0, number)])
    change.ask_to_scrub()
    numbers = [str(each) for each in (number, *parts)]  # texts: there may be more than the log takes numbers
    change.tell("forget", subject_id, {"templates": len(ids), "numbers": numbers})
    return len(ids)


def erase_rows(connection: sqlite3.Connection, number: int) -> tuple[list[int], dict[int, str]]:
    """Delete a Subject's rows, and what is kept of those who were merged with it.

    The ids of its Templates; number -> subject id of those others.
    """
    ids = [row[0] for row in connection.execute("SELECT id FROM templates WHERE subject = ?", (number,))]
    parts = _parts(connection, number)
    connection.execute("DELETE FROM templates WHERE subject = ?", (number,))
    connection.execute("DELETE FROM negatives WHERE subject = ?", (number,))
    connection.execute("DELETE FROM subjects WHERE number = ?", (number,))
    connection.executemany(
        "DELETE FROM merges WHERE kept = ? AND undone IS NULL", [(each,) for each in (number, *parts)]
    )
    return ids, parts


def expired(connection: sqlite3.Connection, of: Collection, now: datetime) -> list[str]:
    """The ids of those whose time has come."""
    rows = connection.execute(
        "SELECT subject_id FROM subjects WHERE collection = ? AND expires <= ? ORDER BY number",
        (of.number, _text_of(now)),
    )
    return [row[0] for row in rows]


def due(connection: sqlite3.Connection, now: datetime) -> set[str]:
    """The names of the collections with somebody whose time has come."""
    rows = connection.execute(
        "SELECT DISTINCT collections.name FROM subjects JOIN collections ON collections.number = subjects.collection"
        " WHERE expires <= ?",
        (_text_of(now),),
    )
    return {row[0] for row in rows}


def _parts(connection: sqlite3.Connection, number: int) -> dict[int, str]:
    """Number -> subject id of those who were merged with this Subject, and with those, and so on."""
    rows = connection.execute(
        "WITH RECURSIVE parts (number, subject_id) AS (VALUES (?, '') UNION"
        " SELECT json_extract(merged, ?), json_extract(merged, ?) FROM merges JOIN parts ON kept = parts.number"
        " WHERE undone IS NULL) SELECT number, subject_id FROM parts WHERE number != ?",
        (number, f"$[{NUMBER}]", f"$[{SUBJECT_ID}]", number),
    )
    return dict(rows.fetchall())


def _insert(change: Change, subject_id: str, name: str | None, details: SubjectDetails, expires: str | None) -> int:
    if name is not None:
        require_text(name, "name")
    number = change.next_number("subjects")
    known_as = subject_id if name is None else name
    write(change, (number, change.of.number, subject_id, known_as, details_to_json(details), expires, change.at))
    return number


def _subject(connection: sqlite3.Connection, row: Row) -> Subject:
    number, _, subject_id, name, details, expires, created, _ = row
    (templates,) = connection.execute("SELECT count(*) FROM templates WHERE subject = ?", (number,)).fetchone()
    return Subject(subject_id, name, details_from_json(details), expires, created, templates)


def _text_of(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise SubjectInvalid("a time without its zone", moment.isoformat(), "Give it in UTC, say.")
    return moment.astimezone(UTC).isoformat(timespec="seconds")
