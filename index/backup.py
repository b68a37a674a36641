"""Backups: whole stores in one file each, taken while writes go on, and kept where `forget` finds them.

A backup holds no deleted bytes: SQLite writes it anew from the rows (VACUUM INTO), as of one moment. Those in
`<store>.backups/` are under our control: whoever is forgotten leaves them too. A backup elsewhere is its owner's.
"""

import fcntl
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from faces.errors import FacesError
from faces.files import sync
from index import audit, faults, snapshots
from index.connection import RESTORE, beside, connect, inspect, translated, unchanging
from index.errors import GalleryCorrupt, GalleryForeign, GalleryUnavailable
from index.forgotten import Held, gone_of, held, remove, require_known, rows_since
from index.holders import in_words, readers
from index.landing import new_file
from index.migrate import migrate
from index.schema import SCHEMA_VERSION
from index.scrub import scrub

_LOCK: Final = ".lock"
_LEFT: Final = re.compile(r".+\.\d+\.part(-journal|-wal|-shm)?")
_MAGIC: Final = b"SQLite format 3\0"
_LONGEST: Final = 200  # characters of a path in the audit log


@dataclass(frozen=True, slots=True)
class Backup:
    path: Path
    taken: str
    """ISO 8601, UTC."""
    bytes: int
    subjects: int
    templates: int
    controlled: bool
    """Whether `forget` finds it."""


@dataclass(frozen=True, slots=True)
class Purged:
    """A backup that somebody was to be removed from."""

    path: Path
    subjects: int
    templates: int
    fault: str = ""
    """Why that was not possible, and in which file; empty when it was."""


def folder_of(path: Path) -> Path:
    """Where the backups of the store at `path` are."""
    return beside(path, ".backups")


def backups(path: Path) -> list[Path]:
    """Those under our control, by name, so the oldest first: whatever is a store, or is called as if it were."""
    return sorted(file for file in folder_of(path).glob("*") if file.is_file() and _is_store(file, path))


def back_up(path: Path, to: Path | None, now: datetime, *, actor: str = "cli") -> Backup:
    """Write a backup of the store at `path`; it lands whole, synced and checked row by row.

    to: a file or an existing folder; None: where `forget` finds it.
    Raises GalleryExists, GalleryUnavailable, GalleryCorrupt.
    """
    if inspect(path) < SCHEMA_VERSION:
        migrate(path, now.isoformat())
    goal = _goal(path, to, now)
    elsewhere = "Choose another path for the backup."
    with locked(path), new_file(goal, "no backup can be written", elsewhere) as part:
        copy_whole(path, part)
        _owe_nothing(part)
        require_sound(part)
        subjects, templates = counted(part)
    made = Backup(goal, now.isoformat(), goal.stat().st_size, subjects, templates, goal.parent.resolve() == _home(path))
    _tell(path, made, actor)
    return made


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One at a time: a backup that began before somebody was forgotten must have landed before it is searched."""
    folder = folder_of(path)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise GalleryUnavailable(
            f"cannot be used for backups ({error.strerror})", str(folder), "Check its permissions."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def copy_whole(source: Path, part: Path) -> None:
    """Write the store at `source` anew into `part`, and sync it. Writers of `source` go on."""
    with translated(source), closing(unchanging(source)) as connection:
        connection.execute("PRAGMA temp_store = 2")  # MEMORY, as everywhere
        connection.execute("VACUUM INTO ?", (str(part),))
    part.chmod(source.stat().st_mode & 0o777)
    sync(part)


def _owe_nothing(part: Path) -> None:
    """A copy of a store that is just being scrubbed says that it is to be scrubbed itself, but has no deleted byte."""
    with translated(part), closing(sqlite3.connect(part, isolation_level=None)) as copy:
        copy.execute("UPDATE store SET scrub_pending = 0 WHERE scrub_pending > 0")


def require_sound(copy: Path) -> None:
    """Raises GalleryCorrupt when any row of a copy that nobody has open is not what was written."""
    if found := faults.of_copy(copy):
        raise GalleryCorrupt(f"damaged ({found[0]})", str(copy), RESTORE)


def counted(copy: Path) -> tuple[int, int]:
    """Subjects and Templates of a copy."""
    with translated(copy), closing(unchanging(copy)) as connection:
        (subjects,) = connection.execute("SELECT count(*) FROM subjects").fetchone()
        (templates,) = connection.execute("SELECT count(*) FROM templates").fetchone()
    return subjects, templates


def purge(path: Path) -> list[Purged]:
    """Remove from every backup under our control whoever was forgotten since it was taken, to the last byte.

    Whom that means is in the audit log, so a purge that was cut short is made good by the next.
    """
    if not folder_of(path).is_dir():
        return []
    try:
        with locked(path):
            for leftover in filter(_is_leftover, folder_of(path).glob("*")):
                leftover.unlink()
            return [found for file in backups(path) if (found := _purge(path, file)) is not None]
    except (GalleryUnavailable, OSError) as error:
        return [Purged(folder_of(path), 0, 0, _fault(folder_of(path), error))]


def elsewhere(connection: sqlite3.Connection) -> list[str]:
    """Paths of the backups that were ever made outside our control."""
    rows = connection.execute(
        "SELECT DISTINCT json_extract(body, '$.file') FROM audit"
        " WHERE action = 'backup' AND NOT json_extract(body, '$.controlled') ORDER BY seq"
    )
    return [row[0] for row in rows]


def unpurged(path: Path) -> list[str]:
    """Backups under our control that have somebody who was forgotten, or that nobody can tell of, as sentences."""
    found = []
    for file in backups(path):
        try:
            what, pending = _owed(path, file)
        except FacesError as error:
            found.append(f"backup: {error}")
        else:
            if what or pending:
                found.append(f"backup {file} still has somebody who was forgotten: forget anybody, or delete it")
    return found


def _is_store(file: Path, path: Path) -> bool:
    """By its first bytes, where its name does not tell: then nobody has a lock on it that closing it would take."""
    if file.name == _LOCK or _is_leftover(file):
        return False
    if path.suffix and file.suffix == path.suffix:
        return True
    with file.open("rb") as opened:
        return opened.read(len(_MAGIC)) == _MAGIC


def _is_leftover(file: Path) -> bool:
    """Of a process that died while it wrote a backup, or restored one."""
    return _LEFT.fullmatch(file.name) is not None


def _purge(path: Path, file: Path) -> Purged | None:
    """None: there was nothing to do."""
    try:
        _undo_what_was_begun(file)
        what, pending = _owed(path, file)
        if not what and not pending:
            return None
        with translated(file), closing(connect(file)) as copy:
            copy.execute("BEGIN IMMEDIATE")
            templates = remove(copy, what)
            copy.execute("COMMIT")
            if (cache := snapshots.folder_of(file)).exists():  # somebody opened the backup
                shutil.rmtree(cache)
            if not scrub(copy):
                raise GalleryUnavailable(f"in use by {in_words(readers(file))}", str(file), "End that, and try again.")
            copy.execute("PRAGMA journal_mode = delete")  # one file again, for media that take no writing
        sync(file.parent)  # or a power cut brings the log back
    except (FacesError, OSError) as error:
        return Purged(file, 0, 0, _fault(file, error))
    return Purged(file, len(what.subjects), templates)


def _fault(place: Path, error: FacesError | OSError) -> str:
    """A sentence without folders: a receipt goes to who asks over HTTP, too."""
    if isinstance(error, OSError):
        return f"{place.name}: {error.strerror or error}"
    seen_in = Path(str(error.value)).name
    what = error.what if seen_in == place.name else f"{error.what}: {seen_in!r}"
    return f"{place.name}: {what}. {error.remedy}"


def _undo_what_was_begun(file: Path) -> None:
    """By a process that died while it changed a backup: a connection that only reads cannot, and refuses the file."""
    if beside(file, "-journal").exists():
        with translated(file), closing(sqlite3.connect(file)) as copy:
            copy.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()


def _owed(path: Path, file: Path) -> tuple[Held, bool]:
    """What is to be removed from a backup; and whether what was removed before is to be overwritten still."""
    with closing(unchanging(path)) as store, closing(unchanging(file)) as copy, translated(file):
        (schema,) = copy.execute("PRAGMA user_version").fetchone()
        rows = rows_since(store, copy) if schema == SCHEMA_VERSION else None
        if rows is None:
            raise GalleryForeign("a backup of another store, or of an older format", str(file), "Move it away.")
        require_known(store, copy, file)
        (pending,) = copy.execute("SELECT scrub_pending FROM store").fetchone()
        return held(copy, gone_of(rows)), bool(pending)


def _tell(path: Path, made: Backup, actor: str) -> None:
    with translated(path), closing(connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        (salt,) = connection.execute("SELECT salt FROM store").fetchone()
        audit.append(
            connection,
            salt=salt,
            actor=actor,
            action="backup",
            collection="",
            subject_id=None,
            body={"file": str(made.path.absolute())[-_LONGEST:], "controlled": made.controlled},
            at=made.taken,
        )
        connection.execute("COMMIT")


def _home(path: Path) -> Path:
    return folder_of(path).resolve()


def _goal(path: Path, to: Path | None, now: datetime) -> Path:
    name = f"{path.stem}-{now:%Y%m%dT%H%M%SZ}{path.suffix}"
    if to is None:
        return folder_of(path) / name
    return to / name if to.is_dir() else to
