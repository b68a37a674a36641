"""Answers that a repeated request is given again, for a day. Each function is part of its caller's transaction.

An answer may name a Subject, so what erases a Subject calls `drop_mentions`.
"""

import json
import sqlite3
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from index.store import Store

KEPT_FOR: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, and the SHA-256 of the request's content that it was given to."""

    request: str
    status: int
    answer: str
    """JSON."""


@dataclass(frozen=True, slots=True)
class Whom:
    """The Subject that an answer is about."""

    collection: int
    """Its number."""
    subject_id: str


def recall(connection: sqlite3.Connection, scope: str, key: str, now: datetime) -> Kept | None:
    """The answer to the request with this key, if there was one within the last day. scope: whose key it is."""
    row = connection.execute(
        "SELECT request, status, answer FROM idempotency WHERE scope = ? AND key = ? AND created > ?",
        (scope, key, _text(now - KEPT_FOR)),
    ).fetchone()
    return None if row is None else Kept(*row)


def keep(connection: sqlite3.Connection, scope: str, key: str, kept: Kept, whom: Whom, now: datetime) -> None:
    """Remember an answer, and forget those that are too old. One about a Subject that has gone since is not kept."""
    connection.execute("DELETE FROM idempotency WHERE created <= ?", (_text(now - KEPT_FOR),))
    connection.execute(
        "INSERT OR REPLACE INTO idempotency (key, scope, request, status, answer, created) SELECT ?, ?, ?, ?, ?, ?"
        " FROM subjects WHERE collection = ? AND subject_id = ?",
        (key, scope, kept.request, kept.status, kept.answer, _text(now), whom.collection, whom.subject_id),
    )


def drop_mentions(connection: sqlite3.Connection, subject_ids: AbstractSet[str]) -> int:
    """Forget every answer that has one of these ids as a whole text within; how many there were.

    One that is damaged may have had it, and goes too.
    """
    found = "SELECT scope, key, CAST(answer AS BLOB) FROM idempotency"
    doomed = [(scope, key) for scope, key, answer in connection.execute(found) if _may_mention(answer, subject_ids)]
    connection.executemany("DELETE FROM idempotency WHERE scope = ? AND key = ?", doomed)
    return len(doomed)


def _may_mention(answer: bytes, texts: AbstractSet[str]) -> bool:
    try:
        return _mentions(json.loads(answer), texts)
    except ValueError:
        return True


def _mentions(value: object, texts: AbstractSet[str]) -> bool:
    if isinstance(value, dict):
        return any(_mentions(part, texts) for part in (*value, *value.values()))
    if isinstance(value, list):
        return any(_mentions(part, texts) for part in value)
    return isinstance(value, str) and value in texts


def _text(moment: datetime) -> str:
    """Texts of one length, so that their order is that of the moments."""
    return moment.isoformat(timespec="microseconds")


class Repeats:
    """The same in an open store: each call is a transaction, and durable on return."""

    def __init__(self, store: "Store") -> None:
        self._store: Final = store

    def recall(self, scope: str, key: str, now: datetime) -> Kept | None:
        return self._store.read(lambda connection: recall(connection, scope, key, now))

    def keep(self, scope: str, key: str, kept: Kept, whom: Whom, now: datetime) -> None:
        self._store.write(lambda connection: keep(connection, scope, key, kept, whom, now))
