"""One collection of a store, and a write to it: what the functions that speak SQL are given."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faces.space import Space
from index import audit, operations
from index.connection import RESTORE
from index.errors import CollectionUnknown, GalleryCorrupt
from index.sealing import Sealing


@dataclass(frozen=True, slots=True)
class Collection:
    path: Path
    """Of the store."""
    number: int
    name: str
    space: Space
    sealing: Sealing = field(repr=False)
    salt: bytes = field(repr=False)

    def require_there(self, connection: sqlite3.Connection) -> None:
        """Raises CollectionUnknown when it was deleted."""
        if connection.execute("SELECT 1 FROM collections WHERE number = ?", (self.number,)).fetchone() is None:
            raise CollectionUnknown("no longer a collection", self.name, "It was deleted: open the gallery anew.")

    def require_sound(self, fault: str | None) -> None:
        """Raises GalleryCorrupt when there is one."""
        if fault:
            raise GalleryCorrupt(fault, str(self.path), RESTORE)


@dataclass(frozen=True, slots=True)
class By:
    """Who wants something done, and in which request: what the audit log says of it."""

    actor: str
    """The id of an API key."""
    request_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """A write to a collection, inside its transaction."""

    connection: sqlite3.Connection
    of: Collection
    actor: str | By
    """Who wants it: the id of an API key, or `cli`."""
    at: str
    """ISO 8601, UTC."""

    def record(self, kind: operations.Kind, rows: Iterable[tuple[int, int]]) -> None:
        """See `operations.record`."""
        operations.record(self.connection, self.of.number, kind, rows)

    def tell(self, action: str, subject_id: str | None, body: Mapping[str, Any]) -> None:
        """A row of the audit log."""
        by = self.actor
        audit.append(
            self.connection,
            salt=self.of.salt,
            actor=by.actor if isinstance(by, By) else by,
            action=action,
            collection=self.of.name,
            subject_id=subject_id,
            body={**body, "request_id": by.request_id} if isinstance(by, By) else body,
            at=self.at,
        )

    def next_number(self, table: str) -> int:
        """One that no row of this table ever had."""
        row = self.connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return 1 if row is None else int(row[0]) + 1

    def digest(self, subject_id: str) -> str:
        """What the audit log calls this Subject."""
        return audit.digest(self.of.salt, subject_id)

    def ask_to_scrub(self) -> None:
        """Rows were deleted whose bytes are to be overwritten; see `Store.scrub`."""
        self.connection.execute("UPDATE store SET scrub_pending = scrub_pending + 1")


def erase_all(change: Change) -> None:
    """Delete the collection and everybody in it."""
    connection, number = change.connection, change.of.number
    of_these = "(SELECT number FROM subjects WHERE collection = ?)"
    gone = connection.execute(f"DELETE FROM templates WHERE subject IN {of_these}", (number,))  # noqa: S608
    change.tell("delete_collection", None, {"templates": gone.rowcount})
    change.ask_to_scrub()
    connection.execute(f"DELETE FROM negatives WHERE subject IN {of_these}", (number,))  # noqa: S608
    connection.execute("DELETE FROM subjects WHERE collection = ?", (number,))
    connection.execute("DELETE FROM collections WHERE number = ?", (number,))
    connection.execute("DELETE FROM idempotency")  # answers may hold anybody's id
