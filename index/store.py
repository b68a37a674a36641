"""The truth: one SQLite file that holds a gallery's Space, Subjects and Templates.

Embeddings are kept as fp16: half the file and half the pages to read at start, while a score moves by at most 4e-5,
a twentieth of the width a threshold is known to. Each row carries a CRC of what an answer rests on, checked whenever
the row is read. Template and subject numbers are never reused, so a stale one cannot name somebody else.
"""

import os
import sqlite3
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from faces.embed import Vectors
from faces.space import Space
from index.connection import (
    APPLICATION_ID,
    RESTORE,
    SCHEMA_VERSION,
    configure,
    connect,
    inspect,
    quick_check,
    translated,
)
from index.errors import GalleryBusy, GalleryCorrupt, GalleryExists, GalleryUnavailable, SubjectUnknown

Numbers = NDArray[np.int64]

_PAGE: Final = 8192  # bytes; 512-d rows waste half of a 4,096-byte page. Fixed once the first table is written
_EMBEDDING: Final = np.dtype("<f2")
_SPACE: Final = TypeAdapter(Space)
_SCHEMA: Final = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE gallery (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    space TEXT NOT NULL,              -- JSON
    space_id TEXT NOT NULL,           -- of that JSON: tells a flipped bit
    version INTEGER NOT NULL,         -- rises with every committed write
    erasures INTEGER NOT NULL,        -- rises when rows go: a cache cannot follow by adding
    scrub_pending INTEGER NOT NULL    -- rows are deleted, but their bytes may still be in the log
);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE subjects (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    subject_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,         -- of the write that last changed this row
    crc INTEGER NOT NULL
);
CREATE TABLE templates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subject INTEGER NOT NULL REFERENCES subjects (number),
    model_id TEXT NOT NULL,
    source TEXT NOT NULL,             -- SHA-256 of the photo's bytes; '' when unknown
    embedding BLOB NOT NULL,          -- dim fp16, little-endian
    crc INTEGER NOT NULL
);
CREATE INDEX templates_of_subject ON templates (subject);
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a reader has come."""

    version: int = 0
    erasures: int = 0
    last_template: int = 0


@dataclass(frozen=True, slots=True)
class SubjectRow:
    subject_id: str
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What a reader must take in to come up to `mark`; to start afresh with, when rows were erased since."""

    mark: Mark
    afresh: bool
    subjects: Mapping[int, SubjectRow]
    """By number: the new and the renamed ones."""
    ids: Numbers
    """(n,) Template ids, rising."""
    owners: Numbers
    """(n,) the Subject's number."""
    vectors: Vectors
    """(n, dim) unit rows."""
    models: Counter[str]
    """Templates by the model_id that made them."""


def create_store(path: Path, space: Space) -> "Store":
    """A new, empty store. The file lands whole. Raises GalleryExists, GalleryUnavailable."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        if path.exists():
            raise FileExistsError
        part.unlink(missing_ok=True)
        _write_empty(part, space)
        os.link(part, path)  # unlike a rename, never replaces what is there
        _sync_folder(path.parent)
    except FileExistsError:
        raise GalleryExists(
            "there is a file already", str(path), "Choose another path, or open that gallery."
        ) from None
    except OSError as error:
        raise GalleryUnavailable(
            f"cannot be created ({error.strerror})", str(path), "Check the folder and its permissions."
        ) from None
    finally:
        with suppress(OSError):  # on a read-only file system even this fails, and must not hide the reason
            part.unlink(missing_ok=True)
    return Store(path)


def _write_empty(path: Path, space: Space) -> None:
    path.open("xb").close()  # an OSError says more than SQLite would
    with closing(sqlite3.connect(path, isolation_level=None)) as connection, translated(path):
        connection.execute(f"PRAGMA page_size = {_PAGE}")
        configure(connection, path)
        connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        connection.execute(
            "INSERT INTO gallery VALUES (1, ?, ?, 1, 0, 0)", (_SPACE.dump_json(space).decode(), space.space_id)
        )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Store:
    """An open gallery file. Safe to use from several threads; several processes may have it open.

    Raises GalleryMissing, GalleryForeign, GalleryCorrupt or GalleryUnavailable, and leaves such a file as it is.
    """

    def __init__(self, path: Path) -> None:
        inspect(path)
        self.path = path
        self._reading, self._writing = threading.RLock(), threading.Lock()
        self._reader = connect(path)
        try:
            self.space = self._read_space()
            self._writer = connect(path)
        except BaseException:
            self._reader.close()
            raise

    def close(self) -> None:
        self._writer.close()
        self._reader.close()

    # Writing: inside `with store.atomic()`.

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """All of the block is written, durably, or none of it. Raises GalleryBusy after five seconds."""
        with self._writing, translated(self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                self._writer.execute("UPDATE gallery SET version = version + 1")
                yield
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def put_subject(self, subject_id: str, name: str | None) -> int:
        """The number of this Subject, made when it is new. `None` keeps the name it has; at first that is its id."""
        found = self._writer.execute("SELECT number, name FROM subjects WHERE subject_id = ?", (subject_id,)).fetchone()
        if found is None:
            name = subject_id if name is None else name
            cursor = self._writer.execute(
                "INSERT INTO subjects (subject_id, name, version, crc) SELECT ?, ?, version, ? FROM gallery",
                (subject_id, name, _crc(subject_id, name)),
            )
            return _row_id(cursor)
        number, known = found
        if name is not None and name != known:
            self._writer.execute(
                "UPDATE subjects SET name = ?, crc = ?, version = (SELECT version FROM gallery) WHERE number = ?",
                (name, _crc(subject_id, name), number),
            )
        return int(number)

    def add_template(self, subject: int, model_id: str, source: str, embedding: Vectors) -> int:
        """The id of the new Template. embedding: (dim,) unit length."""
        data = embedding.astype(_EMBEDDING).tobytes()
        cursor = self._writer.execute(
            "INSERT INTO templates (subject, model_id, source, embedding, crc) VALUES (?, ?, ?, ?, ?)",
            (subject, model_id, source, data, _crc(subject, model_id, source, data)),
        )
        return _row_id(cursor)

    def delete_subject(self, subject_id: str) -> int:
        """How many Templates went with the Subject. Raises SubjectUnknown."""
        found = self._writer.execute("SELECT number FROM subjects WHERE subject_id = ?", (subject_id,)).fetchone()
        if found is None:
            raise SubjectUnknown("no such Subject", subject_id, "Check the id that was enrolled.")
        templates = self._writer.execute("DELETE FROM templates WHERE subject = ?", found).rowcount
        self._writer.execute("DELETE FROM subjects WHERE number = ?", found)
        self._writer.execute("UPDATE gallery SET erasures = erasures + 1, scrub_pending = 1")
        return templates

    def put_setting(self, name: str, value: str) -> None:
        self._writer.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    # Erasing.

    def scrub(self, wait: float) -> bool:
        """Write the file anew and empty the log, so that deleted bytes are in neither. False: somebody is in the way.

        `secure_delete` alone is not enough: a page that SQLite split keeps copies of rows it moved to another, ids in
        the index of subjects were found there. Takes time and memory as large as the file.
        wait: seconds to go on trying for; a reader of another process that is still open keeps the old pages in place.
        """
        deadline = time.monotonic() + wait
        rewritten = emptied = False
        while not emptied:
            rewritten = rewritten or self._rewrite()
            emptied = rewritten and self._empty_log()
            if not emptied and time.monotonic() >= deadline:
                return False
        with self.atomic():
            self._writer.execute("UPDATE gallery SET scrub_pending = 0")
        return True

    def _rewrite(self) -> bool:
        try:
            with self._writing, translated(self.path):
                self._writer.execute("VACUUM")
        except GalleryBusy:
            return False
        return True

    def _empty_log(self) -> bool:
        with self._writing, translated(self.path):
            (busy, _, _) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def scrub_pending(self) -> bool:
        return bool(self._one("SELECT scrub_pending FROM gallery"))

    # Reading.

    def version(self) -> int:
        """Some ten microseconds: cheap enough to ask before each search whether another process wrote."""
        return int(self._one("SELECT version FROM gallery"))

    def changes(self, since: Mark) -> Changes:
        """All that was committed after `since`, as of one moment. Raises GalleryCorrupt when a row's CRC fails."""
        with self._reading, translated(self.path):
            self._reader.execute("BEGIN")
            try:
                version, erasures = self._rows("SELECT version, erasures FROM gallery")[0]
                afresh = erasures != since.erasures
                start = Mark() if afresh else since
                subjects = self._subjects(self._rows(_SUBJECTS + " WHERE version > ?", start.version))
                templates = self._rows(_TEMPLATES + " WHERE id > ? ORDER BY id", start.last_template)
            finally:
                self._reader.execute("COMMIT")
        for row in templates:
            if fault := _template_fault(row, self.space.dim):
                raise GalleryCorrupt(fault, str(self.path), RESTORE)
        last = templates[-1][0] if templates else start.last_template
        return Changes(
            Mark(version, erasures, last),
            afresh,
            subjects,
            np.array([row[0] for row in templates], dtype=np.int64),
            np.array([row[1] for row in templates], dtype=np.int64),
            _unit_rows((row[4] for row in templates), len(templates), self.space.dim),
            Counter(row[2] for row in templates),
        )

    def sources(self) -> list[tuple[str, str]]:
        """(source, subject_id) of every Template whose photo is known."""
        return self._rows(
            "SELECT DISTINCT source, subject_id FROM templates JOIN subjects ON number = subject WHERE source != ''"
        )

    def setting(self, name: str) -> str | None:
        rows = self._rows("SELECT value FROM settings WHERE name = ?", name)
        return str(rows[0][0]) if rows else None

    def faults(self) -> list[str]:
        """What is wrong with the file, read anew from disk, as sentences; empty when nothing is."""
        with closing(connect(self.path)) as connection, translated(self.path):
            if found := quick_check(connection):
                return [f"SQLite: {problem}" for problem in found]
            subjects = [_subject_fault(row) for row in connection.execute(_SUBJECTS)]
            templates = [
                _template_fault(row, self.space.dim) for row in connection.execute(_TEMPLATES + " ORDER BY id")
            ]
        return [fault for fault in subjects + templates if fault]

    def _read_space(self) -> Space:
        text, space_id, *numbers = self._rows(
            "SELECT space, space_id, version, erasures, scrub_pending FROM gallery WHERE only = 1"
        )[0]
        try:
            space = _SPACE.validate_json(text)
        except ValidationError:
            space = None
        if space is None or space.space_id != space_id or not all(isinstance(number, int) for number in numbers):
            raise GalleryCorrupt("the record of its Space is damaged", str(self.path), RESTORE)
        return space

    def _subjects(self, rows: list[Any]) -> dict[int, SubjectRow]:
        for row in rows:
            if fault := _subject_fault(row):
                raise GalleryCorrupt(fault, str(self.path), RESTORE)
        return {number: SubjectRow(subject_id, name) for number, subject_id, name, _ in rows}

    def _rows(self, statement: str, *values: object) -> list[Any]:
        with self._reading, translated(self.path):
            return self._reader.execute(statement, values).fetchall()

    def _one(self, statement: str) -> Any:
        return self._rows(statement)[0][0]


_SUBJECTS: Final = "SELECT number, subject_id, name, crc FROM subjects"
_TEMPLATES: Final = "SELECT id, subject, model_id, source, embedding, crc FROM templates"


def _template_fault(row: Any, dim: int) -> str | None:
    """What is wrong with a row of `templates`, if anything."""
    template, subject, model_id, source, data, crc = row
    if not isinstance(data, bytes) or len(data) != dim * _EMBEDDING.itemsize:
        return f"Template {template} does not hold {dim} numbers"
    return None if crc == _crc(subject, model_id, source, data) else f"Template {template} fails its checksum"


def _subject_fault(row: Any) -> str | None:
    number, subject_id, name, crc = row
    return None if crc == _crc(subject_id, name) else f"Subject number {number} fails its checksum"


def _crc(*fields: object) -> int:
    """CRC-32 of the fields; ends of text are marked, so that no two different rows read alike."""
    crc = 0
    for field in fields:
        crc = zlib.crc32(field if isinstance(field, bytes) else f"{field}\0".encode(), crc)
    return crc


def _unit_rows(data: Iterable[bytes], count: int, dim: int) -> Vectors:
    """Embeddings as stored -> (count, dim) float32; rounding to fp16 moved their length a little: back to one."""
    rows = np.frombuffer(b"".join(data), dtype=_EMBEDDING).reshape(count, dim).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _row_id(cursor: sqlite3.Cursor) -> int:
    if cursor.lastrowid is None:
        raise AssertionError("SQLite gave a new row no number")
    return cursor.lastrowid
