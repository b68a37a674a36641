"""The audit log of a store's file, read and archived without opening the store: no key is needed."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from index import audit
from index.audit import Entry, Head, Line
from index.backup import backups, locked, purge, unpurged
from index.connection import connect, inspect, translated, unchanging
from index.errors import AuditInvalid, GalleryForeign
from index.forgotten import last_shared
from index.landing import new_file
from index.schema import SCHEMA_VERSION

_SECONDS: Final = len("2026-01-01T00:00:00")


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

    They leave the log when the file is on the disk. Backups under our control are first rid of whoever was forgotten,
    and rows from after one was taken stay as long as it does: they are all that tells whom it is still to lose.
    before, now: with their time zones.
    Raises AuditInvalid when there are none, or a backup needs any of them; GalleryExists, GalleryUnavailable, and what
    `inspect` raises.
    """
    _require_log(path)
    purge(path)
    elsewhere = "Choose another path for the archive."
    with locked(path):  # no backup lands whose rows are just going
        with new_file(to, "no archive can be written", elsewhere) as part:
            last = _write_rows(path, part, before)
            _require_unneeded(path, last)
        with translated(path), closing(connect(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            rows = audit.cut(connection, last, actor=actor, at=_moment(now))
            connection.execute("COMMIT")
    return Archived(to, rows, str(last))


def _write_rows(path: Path, part: Path, before: datetime) -> Head:
    """Of the last row that was written."""
    last = None
    with part.open("w", encoding="utf-8") as file, _reading(path) as connection:
        for line in audit.lines_before(connection, _moment(before)):
            file.write(json.dumps([line.seq, *line.fields, line.previous, line.hash], ensure_ascii=False) + "\n")
            last = Head(line.seq, line.hash)
    if last is None:
        raise AuditInvalid("no row of the audit log is from before", before.isoformat(), "There is nothing to do.")
    return last


def _require_unneeded(path: Path, last: Head) -> None:
    """Raises AuditInvalid when a backup under our control needs any row up to this one."""
    if found := unpurged(path):
        raise AuditInvalid("no row may leave the audit log yet", found[0], "See to that backup first.")
    with _reading(path) as store:
        shared, backup = min(((_shared(store, file), file) for file in backups(path)), default=(last.seq, path))
        if shared < last.seq:
            (at,) = store.execute("SELECT at FROM audit WHERE seq > ? ORDER BY seq LIMIT 1", (shared,)).fetchone()
            raise AuditInvalid(
                f"rows from {at[:_SECONDS]} on tell who was forgotten since a backup was taken",
                str(backup),
                f"Archive --before {at[:_SECONDS]}, or delete that backup first.",
            )


def _shared(store: sqlite3.Connection, backup: Path) -> int:
    with closing(unchanging(backup)) as copy, translated(backup):
        return last_shared(store, copy) or 0


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
