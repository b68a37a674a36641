"""Putting a backup in the place of a store, without bringing anybody back who was forgotten since it was taken.

Where the store that goes can still be read, its audit log goes on in the restored one, whoever it says was forgotten
since is removed again, and no number that it gave is given twice. Where it cannot, the numbers jump ahead, and the
answer says that the rest is not known.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from faces.errors import FacesError
from faces.files import sync
from index import audit, snapshots
from index.backup import copy_whole, counted, folder_of, locked, require_sound
from index.connection import beside, claim, connect, inspect, translated
from index.errors import GalleryBusy, GalleryExists, GalleryUnavailable
from index.forgotten import goes_on, gone_of, held, remove, rows_since
from index.holders import Holder, in_words, users
from index.migrate import migrate
from index.schema import SCHEMA_VERSION
from index.scrub import scrub

_NUMBERED: Final = ("collections", "subjects", "templates", "negatives", "operations", "merges")
_LEAP: Final = 1 << 20  # numbers left out where nobody knows how many were given since the backup


@dataclass(frozen=True, slots=True)
class Restored:
    path: Path
    backup: Path
    subjects: int
    templates: int
    forgotten_again: int
    """Subjects that were in the backup, but had been forgotten since."""
    log_went_on: bool
    """False: there was no store before, or its log could not be read; nobody can say who was forgotten since."""
    replaced: Path | None
    """Where the store is that was here before."""


def restore(backup: Path, path: Path, now: datetime, *, force: bool = False) -> Restored:
    """Make the store at `path` what the backup holds; it lands whole. The backup is checked first and stays as it is.

    force: replace a store, which is kept beside the backups.
    Raises GalleryExists, GalleryBusy when a process has the store open, GalleryCorrupt when the backup is damaged.
    """
    old = inspect(backup) < SCHEMA_VERSION
    if not old:
        require_sound(backup)
    if path.exists() and path.samefile(backup):
        raise GalleryExists("the store itself, which is no backup of it", str(backup), "Give a backup: index backup.")
    if path.exists() and not force:
        raise GalleryExists("there is a store already", str(path), "Give --force to replace it; it is kept.")
    part = folder_of(path) / f"{path.name}.{os.getpid()}.part"  # where one that is left over is found
    with locked(path), _alone(path) as gone:
        try:
            part.unlink(missing_ok=True)
            copy_whole(backup, part)
            if old:
                migrate(part, now.isoformat())  # checks every row
            went_on, again = _go_on(part, path, gone, now.isoformat())
            subjects, templates = counted(part)
            if path.exists():
                part.chmod(path.stat().st_mode & 0o777)
            sync(part)
            replaced = _put_in_place(part, beside(path, ""), now)
        except OSError as error:
            raise GalleryUnavailable(
                f"cannot be restored ({error.strerror})", str(path), "Check the folder and its permissions."
            ) from None
        finally:
            for ending in ("", "-wal", "-shm"):
                with suppress(OSError):
                    beside(part, ending).unlink(missing_ok=True)
    return Restored(path, backup, subjects, templates, again, went_on, replaced)


@contextmanager
def _alone(path: Path) -> Iterator[sqlite3.Connection | None]:
    """The store that goes, which nobody has open, nor can open while the block runs. None: there is none to be read.

    Its log is folded in, so that it is one file. Raises GalleryBusy.
    """
    try:
        inspect(path)
    except GalleryBusy:
        raise
    except FacesError:
        if found := users(path):  # all that can be known of a file that SQLite does not read
            raise _in_use(path, found) from None
        yield None
        return
    with closing(connect(path)) as connection:
        try:
            claim(connection, path)
        except GalleryBusy:
            raise _in_use(path, users(path)) from None
        with translated(path):
            connection.execute("PRAGMA journal_mode = delete")
            connection.execute("PRAGMA journal_mode = memory")  # or closing it removes the journal of its successor
        beside(path, "-journal").unlink(missing_ok=True)
        yield connection


def _in_use(path: Path, found: list[Holder] | None) -> GalleryBusy:
    return GalleryBusy(f"in use by {in_words(found)}", str(path), "Stop it first.")


def _go_on(part: Path, path: Path, gone: sqlite3.Connection | None, at: str) -> tuple[bool, int]:
    """Whether the log of the store that goes went on in `part`, and how many Subjects were removed again."""
    with translated(part), closing(connect(part)) as new:
        since = None if gone is None else _since(path, gone, new)
        new.execute("BEGIN IMMEDIATE")
        again = _forget_again(new, since)
        went_on = since is not None and since.goes_on
        if since is not None and went_on:
            new.executemany("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", since.rows)
            audit.drop_archived(new)
        _raise_numbers(new, {} if since is None else since.given, 0 if went_on else _LEAP)
        (salt,) = new.execute("SELECT salt FROM store").fetchone()
        audit.append(
            new,
            salt=salt,
            actor="cli",
            action="restore",
            collection="",
            subject_id=None,
            body={"log_went_on": went_on, "forgotten_again": again},
            at=at,
        )
        new.execute("COMMIT")
        scrub(new)
        new.execute("PRAGMA journal_mode = delete")  # until it is opened: no log that could be left behind
    return went_on, again


@dataclass(frozen=True, slots=True)
class _Since:
    """What the store that goes has seen since the backup."""

    rows: list[Any]
    """Of its audit log."""
    goes_on: bool
    """Whether they follow on the backup's own."""
    given: dict[str, int]
    """The last number of each table."""


def _since(path: Path, old: sqlite3.Connection, new: sqlite3.Connection) -> _Since | None:
    """None: it cannot be read, or is not the store that the backup is of."""
    try:
        with translated(path):
            rows = rows_since(old, new)
            if rows is None or audit.verify(old):
                return None
            return _Since(rows, goes_on(old, new), dict(old.execute("SELECT name, seq FROM sqlite_sequence")))
    except FacesError:
        return None


def _forget_again(new: sqlite3.Connection, since: _Since | None) -> int:
    if since is None:
        return 0
    what = held(new, gone_of(since.rows))
    if what:
        remove(new, what)
    return len(what.subjects)


def _raise_numbers(new: sqlite3.Connection, given: dict[str, int], leap: int) -> None:
    """So that no number is given twice."""
    for table in _NUMBERED:
        row = new.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        last = max(0 if row is None else row[0], given.get(table, 0)) + leap
        new.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        new.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))


def _put_in_place(part: Path, path: Path, now: datetime) -> Path | None:
    """Rename over; what was there before is kept beside the backups, with the log that belongs to it."""
    shutil.rmtree(snapshots.folder_of(path), ignore_errors=True)
    kept = None
    if path.exists():
        kept = folder_of(path) / f"{path.stem}-{now:%Y%m%dT%H%M%SZ}-replaced{path.suffix}"
        os.link(path, kept)
    for ending in ("-wal", "-shm"):  # a log that is left would be taken for the new store's
        with suppress(FileNotFoundError):
            log = beside(path, ending)
            log.unlink() if kept is None else log.rename(beside(kept, ending))
    part.replace(path)
    sync(path.parent)
    return kept
