"""How a store of an older format comes up to this one: in one transaction, when it is opened, with nothing lost.

Format 1 was a gallery: one Space, Subjects with an id and a name, Templates. It becomes the collection `default`.
Numbers, ids, the version and everything else that somebody may have written down stay as they are.
"""

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from index import audit
from index.connection import RESTORE, connect, translated
from index.errors import GalleryCorrupt, GalleryUnavailable
from index.rows import NO_DETAILS, crc, with_crc
from index.schema import SCHEMA_VERSION, TABLES

DEFAULT: Final = "default"
"""The collection that a gallery of format 1 becomes."""

_OLD_TABLES: Final = ("gallery", "settings", "subjects", "templates")


def migrate(path: Path, at: str) -> None:
    """Bring the store at `path` to this format. at: ISO 8601, UTC.

    Raises GalleryCorrupt when a row fails its checksum, GalleryUnavailable when the file cannot be written; the store
    stays what it was.
    """
    with closing(connect(path)) as connection, translated(path):
        try:
            connection.execute("BEGIN IMMEDIATE")
            migrate_tables(connection, path, at)
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY:
                raise _read_only(path) from error
            raise


def migrate_tables(connection: sqlite3.Connection, path: Path, at: str) -> None:
    """The work of `migrate`, inside the caller's transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    while version < SCHEMA_VERSION:  # another process may have been quicker
        _STEPS[version](connection, path, at)
        version += 1
        connection.execute(f"PRAGMA user_version = {version}")


def create_tables(connection: sqlite3.Connection) -> None:
    """Those of this format, in a transaction of the caller's."""
    statement = ""
    for line in TABLES.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def write_identity(connection: sqlite3.Connection, store_id: str, sealed: str) -> bytes:
    """The one row of `store`; its salt."""
    salt = os.urandom(32)
    connection.execute("INSERT INTO store VALUES (1, ?, ?, ?, 0)", (store_id, salt, sealed))
    return salt


def new_store_id() -> str:
    return uuid.uuid4().hex


def _from_1(connection: sqlite3.Connection, path: Path, at: str) -> None:
    given = dict(connection.execute("SELECT name, seq FROM sqlite_sequence"))
    for table in _OLD_TABLES:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    connection.execute("DROP INDEX templates_of_subject")
    create_tables(connection)
    salt = write_identity(connection, new_store_id(), "")
    space, space_id, seq = connection.execute("SELECT space, space_id, version FROM old_gallery").fetchone()
    connection.execute("INSERT INTO collections VALUES (1, ?, ?, ?, ?, ?, 0)", (DEFAULT, space, space_id, seq, seq))
    connection.execute("INSERT INTO settings SELECT 1, name, value FROM old_settings")
    connection.executemany("INSERT INTO subjects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _subjects_of_1(connection, path))
    connection.executemany("INSERT INTO templates VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _templates_of_1(connection, path))
    for table in reversed(_OLD_TABLES):
        connection.execute(f"DROP TABLE old_{table}")
    connection.execute("DELETE FROM sqlite_sequence WHERE name IN ('subjects', 'templates', 'operations')")
    connection.executemany("INSERT INTO sqlite_sequence VALUES (?, ?)", [*given.items(), ("operations", seq)])
    connection.execute("UPDATE store SET scrub_pending = 1")  # writes the file anew, without the room of the old tables
    audit.append(
        connection,
        salt=salt,
        actor="migration",
        action="migrate",
        collection=DEFAULT,
        subject_id=None,
        body={"from": 1, "to": 2},
        at=at,
    )


def _subjects_of_1(connection: sqlite3.Connection, path: Path) -> Iterator[tuple[Any, ...]]:
    for number, subject_id, name, found in connection.execute("SELECT number, subject_id, name, crc FROM old_subjects"):
        if found != crc(subject_id, name):
            raise GalleryCorrupt(f"Subject number {number} fails its checksum", str(path), RESTORE)
        yield with_crc(number, 1, subject_id, name, NO_DETAILS, None, "")


def _templates_of_1(connection: sqlite3.Connection, path: Path) -> Iterator[tuple[Any, ...]]:
    rows = connection.execute("SELECT id, subject, model_id, source, embedding, crc FROM old_templates ORDER BY id")
    for number, subject, model_id, source, embedding, found in rows:
        if found != crc(subject, model_id, source, embedding):
            raise GalleryCorrupt(f"Template {number} fails its checksum", str(path), RESTORE)
        yield with_crc(number, subject, model_id, source, "[]", "", embedding)


_STEPS: Final[Mapping[int, Callable[[sqlite3.Connection, Path, str], None]]] = MappingProxyType({1: _from_1})


def _read_only(path: Path) -> GalleryUnavailable:
    return GalleryUnavailable(
        f"a gallery of an older format, which must be brought to format {SCHEMA_VERSION}, in a file that cannot be "
        "written",
        str(path),
        "Make it writable, or copy it.",
    )
