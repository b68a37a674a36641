"""The audit log of a store's file, read and archived without opening the store: no key is needed."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from index import audit
from index.audit import Entry, Head, Line
from index.backup import backups, locked
from index.connection import connect, inspect, translated, unchanging
from index.errors import AuditInvalid, GalleryForeign
from index.forgotten import last_shared, same_store
from index.landing import new_file
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


@dataclass(frozen=True, slots=True)
class Archived:
    """Rows that are in a file now, and no longer in the log."""

    path: Path
    rows: int
    last: str
    """NUMBER:HASH of the last of them."""
    needed_by: Path | None
    """The oldest backup, when rows from before the moment stayed for its sake."""


def verify_log(path: Path, kept: Head | None = None, archives: Sequence[Path] = ()) -> LogState:
    """archives: what `archive_log` wrote, oldest first. Raises what `inspect` raises, and AuditInvalid."""
    before = [line for archive in archives for line in _read_archive(archive)]
    with _reading(path) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM audit").fetchone()
        return LogState(
            rows + len(before), str(audit.head(connection)), audit.verify(connection, kept, archives=before)
        )


def archive_log(path: Path, to: Path, before: datetime, now: datetime, *, actor: str = "cli") -> Archived:
    """Move the rows from before a moment into a new file, a line of JSON each; the log goes on from there.

    They leave the log when the file is on the disk. Rows from after a backup under our control was taken stay as long
    as it does: they are all that tells whom it is to lose. before, now: with their time zones.
    Raises AuditInvalid when there are none to move, GalleryExists, GalleryUnavailable, what `inspect` raises, and the
    same of a backup that cannot be read.
    """
    _require_log(path)
    elsewhere = "Choose another path for the archive."
    with locked(path):  # no backup lands whose rows are just going
        with new_file(to, "no archive can be written", elsewhere) as part, _reading(path) as store:
            oldest = _oldest_backup(path, store)
            last, stayed = _write_rows(part, audit.lines_before(store, _moment(before)), oldest)
            if last is None and oldest is not None and stayed:
                raise AuditInvalid("all rows are needed as long as there is the backup", str(oldest.path), "Delete it.")
            if last is None:
                what = "no row of the audit log is from before"
                raise AuditInvalid(what, before.isoformat(), "There is nothing to do.")
        with translated(path), closing(connect(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            rows = audit.cut(connection, last, actor=actor, at=_moment(now))
            connection.execute("COMMIT")
    return Archived(to, rows, str(last), oldest.path if oldest is not None and stayed else None)


@dataclass(frozen=True, slots=True, order=True)
class _Backup:
    last: int
    """Number of the last row that the store's log shares with it."""
    path: Path


def _oldest_backup(path: Path, store: sqlite3.Connection) -> _Backup | None:
    """Of those under our control. No row is kept for one of another store, or from before all that the log has."""
    found = ((_last_shared(store, file), file) for file in backups(path))
    return min((_Backup(last, file) for last, file in found if last is not None), default=None)


def _last_shared(store: sqlite3.Connection, backup: Path) -> int | None:
    with closing(unchanging(backup)) as copy, translated(backup):
        (schema,) = copy.execute("PRAGMA user_version").fetchone()
        return last_shared(store, copy) if schema == SCHEMA_VERSION and same_store(store, copy) else None


def _write_rows(part: Path, lines: Iterator[Line], oldest: _Backup | None) -> tuple[Head | None, bool]:
    """The last that was written; and whether others stay for the sake of a backup."""
    last = None
    with part.open("w", encoding="utf-8") as file:
        for line in lines:
            if oldest is not None and line.seq > oldest.last:
                return last, True
            file.write(json.dumps([line.seq, *line.fields, line.previous, line.hash], ensure_ascii=False) + "\n")
            last = Head(line.seq, line.hash)
    return last, False


def _read_archive(path: Path) -> Iterator[Line]:
    """Raises AuditInvalid for a file that is none."""
    try:
        with path.open(encoding="utf-8") as file:
            for text in file:
                seq, *fields, previous, found = json.loads(text)
                sound = all(isinstance(each, str) for each in (*fields, previous, found))
                yield Line(int(seq), sound, tuple(map(str, fields)), str(previous), str(found))
    except (OSError, ValueError, TypeError):
        raise AuditInvalid("not an archive of an audit log", str(path), "Give what `audit archive` wrote.") from None


def _moment(of: datetime) -> str:
    return of.astimezone(UTC).isoformat()


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
    _require_log(path)
    with closing(unchanging(path)) as connection, translated(path):
        connection.execute("BEGIN")
        yield connection


def _require_log(path: Path) -> None:
    if inspect(path) < SCHEMA_VERSION:
        raise GalleryForeign("of a format that had no audit log", str(path), "Open it once: index stats.")
