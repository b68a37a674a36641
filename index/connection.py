"""A gallery file, opened the way it must be: checked before it is touched, every setting read back, errors in words."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from index.errors import GalleryBusy, GalleryCorrupt, GalleryError, GalleryForeign, GalleryMissing, GalleryUnavailable
from index.schema import SCHEMA_VERSION

APPLICATION_ID: Final = int.from_bytes(b"HEIR", "big")
BUSY_TIMEOUT: Final = 5000  # milliseconds a writer waits for another process's

_SETTINGS: Final[Mapping[str, object]] = MappingProxyType(
    {
        "busy_timeout": BUSY_TIMEOUT,
        "journal_mode": "wal",  # readers and one writer do not wait for each other
        "synchronous": 2,  # FULL: an answered write survives a power cut, if the disk honours flush
        "secure_delete": 1,  # ON: FAST leaves the bytes of freed pages
        "foreign_keys": 1,
        "temp_store": 2,  # MEMORY: no file elsewhere ever holds Templates, not even while the gallery is rewritten
    }
)
_TABLES: Final = "store, collections, settings, subjects, templates, negatives, operations, merges, thresholds, audit"
_TABLES_OF: Final[Mapping[int, str]] = MappingProxyType({1: "gallery, settings, subjects, templates"})


def beside(path: Path, ending: str) -> Path:
    """What lies beside a gallery and has its name and more: logs, snapshot files, backups; not beside a link to it."""
    place = path.resolve() if path.is_symlink() or not path.name else path
    return place.with_name(place.name + ending)


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode that may be used from any thread, one at a time.

    Raises GalleryUnavailable when a setting does not take (a file system without shared memory, say).
    """
    while True:
        before = _inode(path)
        connection = _connected(path)
        if _inode(path) == before:
            return connection
        connection.close()  # while it waited for the file, a restored one was put in its place


def claim(connection: sqlite3.Connection, path: Path) -> None:
    """Let nobody open the store until this connection is closed, in whichever container they are.

    Raises GalleryBusy when somebody has it open.
    """
    connection.execute("PRAGMA busy_timeout = 0")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    with translated(path):
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")


def _connected(path: Path) -> sqlite3.Connection:
    with translated(path):
        connection = _open(path, "rw")
        try:
            configure(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:  # SQLite says why
        return None


def _open(path: Path, mode: Literal["ro", "rw"]) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)


def configure(connection: sqlite3.Connection, path: Path) -> None:
    """Make every setting and read it back: most belong to the connection, not to the file."""
    for name, value in _SETTINGS.items():
        connection.execute(f"PRAGMA {name} = {value}")
        (found,) = connection.execute(f"PRAGMA {name}").fetchone()
        if found != value:
            raise GalleryUnavailable(
                f"SQLite keeps {name} at {found!r} instead of {value!r}", str(path), "Use a local disk."
            )


def inspect(path: Path) -> int:
    """The format of a gallery file. One that is no sound gallery is refused, without changing a byte of it.

    Asks SQLite for all of it: a descriptor of ours, once closed, would take this process's locks on the file with it
    (https://www.sqlite.org/howtocorrupt.html, 2.2). A store that is open here would lose its log to the next process
    that closes it, and what is in there with it.

    Raises GalleryMissing, GalleryForeign, GalleryCorrupt or GalleryUnavailable.
    """
    _require_readable(path)
    with closing(unchanging(path)) as connection:
        schema = _format(connection, path)
        with translated(path):
            if problems := quick_check(connection):
                raise GalleryCorrupt(f"damaged ({problems[0]})", str(path), RESTORE)
            connection.execute(f"SELECT 1 FROM {_TABLES_OF.get(schema, _TABLES)} LIMIT 0")  # noqa: S608 - names of ours
    return schema


def unchanging(path: Path) -> sqlite3.Connection:
    """A connection to read with that leaves the file as it is, to the byte. Raises GalleryUnavailable.

    No setting is made here: that may write. Nor may a leftover log be folded into the file, as a connection that may
    write does when it closes; without a log only such a connection clears away the files that it opens beside.
    """
    logs = (beside(path, ending) for ending in ("-wal", "-journal"))
    with translated(path):
        return _open(path, "ro" if any(log.exists() for log in logs) else "rw")


def quick_check(connection: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with its pages and tables; empty when nothing is."""
    return _problems(connection, "PRAGMA quick_check(20)")


def integrity_check(connection: sqlite3.Connection) -> list[str]:
    """The same, and what indexes have otherwise than their tables: takes longer, as every row is looked for in them."""
    return _problems(connection, "PRAGMA integrity_check(20)")


def _problems(connection: sqlite3.Connection, check: str) -> list[str]:
    found = [line for (row,) in connection.execute(check) for line in str(row).splitlines()]
    return [] if found == ["ok"] else found


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours. A broken constraint is a fault of ours and passes through."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except UnicodeDecodeError as error:  # of a message of SQLite's, which quotes a damaged statement
        raise GalleryCorrupt("damaged: the definition of a table is no text", str(path), RESTORE) from error
    except sqlite3.DatabaseError as error:
        primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        kind, remedy = _KINDS.get(primary, (GalleryUnavailable, "Check permissions, free space and the disk."))
        raise kind(f"SQLite: {error}", str(path), remedy) from error


RESTORE: Final = "The file was left as it is: restore it from a backup, or build the gallery again."
_BUSY: Final[tuple[type[GalleryError], str]] = (GalleryBusy, "Another process is writing: try again when it is done.")
_DAMAGED: Final[tuple[type[GalleryError], str]] = (GalleryCorrupt, RESTORE)
_KINDS: Final[Mapping[int, tuple[type[GalleryError], str]]] = MappingProxyType(
    {
        sqlite3.SQLITE_BUSY: _BUSY,
        sqlite3.SQLITE_LOCKED: _BUSY,
        sqlite3.SQLITE_CORRUPT: _DAMAGED,
        sqlite3.SQLITE_NOTADB: _DAMAGED,
        sqlite3.SQLITE_ERROR: _DAMAGED,  # our statements are sound, so the tables they speak of are not
    }
)


def _require_readable(path: Path) -> None:
    if not path.is_file():
        raise GalleryMissing("no gallery", str(path), "Give the path of a gallery file, or make one: index build.")
    if not os.access(path, os.R_OK):
        raise GalleryUnavailable("cannot be read (Permission denied)", str(path), "Check permissions.")
    if path.stat().st_size == 0:
        raise GalleryCorrupt("an empty file", str(path), RESTORE)


def _format(connection: sqlite3.Connection, path: Path) -> int:
    with translated(path):
        try:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
                raise
            what = "not a gallery: not an SQLite file, or damaged from the start"
            raise GalleryCorrupt(what, str(path), RESTORE) from None
    if application != APPLICATION_ID:
        raise GalleryForeign("an SQLite file of another program", str(path), "Give the path of a gallery file.")
    if not 1 <= schema <= SCHEMA_VERSION:
        raise GalleryForeign(
            f"a gallery of format {schema}; this version reads up to {SCHEMA_VERSION}", str(path), "Upgrade heirloom."
        )
    return int(schema)
