"""The audit log of a store's file, read without opening the store: no key is needed, and nothing is written."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from index import audit
from index.audit import Entry, Head
from index.connection import inspect, translated, unchanging
from index.errors import GalleryForeign
from index.schema import SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class LogState:
    rows: int
    head: str
    """To be kept elsewhere: it vouches for all that is in the log now."""
    faults: list[str]


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows of the log; None: any."""

    limit: int
    before: int | None = None
    collection: str | None = None
    action: str | None = None
    subject_id: str | None = None


def verify_log(path: Path, kept: Head | None = None) -> LogState:
    """Raises what `inspect` raises."""
    with _reading(path) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM audit").fetchone()
        return LogState(rows, str(audit.head(connection)), audit.verify(connection, kept))


def show_log(path: Path, query: Query) -> list[Entry]:
    """Newest first. Raises what `inspect` raises."""
    with _reading(path) as connection:
        (salt,) = connection.execute("SELECT salt FROM store").fetchone()
        return audit.entries(
            connection,
            query.limit,
            before=query.before,
            collection=query.collection,
            action=query.action,
            subject=None if query.subject_id is None else audit.digest(salt, query.subject_id),
        )


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """As of one moment."""
    if inspect(path) < SCHEMA_VERSION:
        raise GalleryForeign("of a format that had no audit log", str(path), "Open it once: index stats.")
    with closing(unchanging(path)) as connection, translated(path):
        connection.execute("BEGIN")
        yield connection
