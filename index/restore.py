"""Putting a backup in the place of a store, without bringing anybody back who was forgotten since it was taken.

Where the store that goes can still be read, its audit log goes on in the restored one, whoever it says was forgotten
since is removed again, and no number that it gave is given twice. Where it cannot, the numbers jump ahead, and the
answer says that the rest is not known.
"""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from faces.errors import FacesError
from faces.files import sync
from index import audit
from index.backup import copy_whole, counted, folder_of, locked, require_sound
from index.connection import connect, inspect, translated, unchanging
from index.errors import GalleryBusy, GalleryExists, GalleryUnavailable
from index.forgotten import goes_on, gone_of, held, remove, rows_since
from index.holders import in_words, users
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
    if path.exists() and not force:
        raise GalleryExists("there is a store already", str(path), "Give --force to replace it; it is kept.")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with locked(path):
        _require_unused(path)
        try:
            part.unlink(missing_ok=True)
            copy_whole(backup, part)
            if old:
                migrate(part, now.isoformat())  # checks every row
            went_on, again = _go_on(part, path, now.isoformat())
            subjects, templates = counted(part)
            sync(part)
            replaced = _put_in_place(part, path, now)
        except OSError as error:
            raise GalleryUnavailable(
                f"cannot be restored ({error.strerror})", str(path), "Check the folder and its permissions."
            ) from None
        finally:
            for ending in ("", "-wal", "-shm"):
                with suppress(OSError):
                    part.with_name(part.name + ending).unlink(missing_ok=True)
    return Restored(path, backup, subjects, templates, again, went_on, replaced)


def _require_unused(path: Path) -> None:
    if found := users(path):
        raise GalleryBusy(f"in use by {in_words(found)}", str(path), "Stop it first.")


def _go_on(part: Path, path: Path, at: str) -> tuple[bool, int]:
    """Whether the log of the store at `path` went on in `part`, and how many Subjects were removed again."""
    with translated(part), closing(connect(part)) as new:
        since = _since(path, new)
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


def _since(path: Path, new: sqlite3.Connection) -> _Since | None:
    """None: there is no store, it cannot be read, or it is not the one that the backup is of."""
    if not path.exists():
        return None
    try:
        with closing(unchanging(path)) as old, translated(path):
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
    shutil.rmtree(path.with_name(path.name + ".cache"), ignore_errors=True)
    kept = None
    if path.exists():
        kept = folder_of(path) / f"{path.stem}-{now:%Y%m%dT%H%M%SZ}-replaced{path.suffix}"
        os.link(path, kept)
    for ending in ("-wal", "-shm"):  # a log that is left would be taken for the new store's
        with suppress(FileNotFoundError):
            beside = path.with_name(path.name + ending)
            beside.unlink() if kept is None else beside.rename(kept.with_name(kept.name + ending))
    part.replace(path)
    sync(path.parent)
    return kept
