"""The truth: one SQLite file that holds many collections, each with its Space, Subjects and Templates."""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from pydantic import ValidationError

from faces.files import sync
from faces.space import SPACE_JSON, Space
from index import audit, faults, scrub
from index.backup import purge
from index.cache import Cache
from index.collection import By, Change, Collection, erase_all
from index.connection import RESTORE, beside, inspect
from index.contract import require_text, utc_now
from index.empty_file import insert_collection, write_empty
from index.errors import (
    CollectionExists,
    CollectionInvalid,
    CollectionUnknown,
    GalleryBusy,
    GalleryCorrupt,
    GalleryError,
    GalleryUnavailable,
)
from index.landing import new_file
from index.local import LocalGallery
from index.migrate import DEFAULT, migrate
from index.readers import Readers
from index.scan import Scanner
from index.schema import SCHEMA_VERSION
from index.sealing import Sealing, sealing_of
from index.search import Scans
from index.segment import Segment
from index.snapshots import ReadAhead, drop_all_but, likely_files
from index.writer import Job, Writer

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)


class Engine(Scans, Protocol):
    def close(self) -> None:
        """Once nobody searches any more; again, it does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    name: str
    space: Space
    subjects: int
    templates: int
    version: int
    """Rises with every committed write to it."""


def create_store(
    path: Path,
    spaces: Mapping[str, Space] = MappingProxyType({}),
    *,
    environment: Mapping[str, str] = os.environ,
    clock: Callable[[], datetime] = utc_now,
) -> "Store":
    """A new store with empty collections of these names. The file lands whole.

    environment: sealed from its first row on if HEIRLOOM_STORE_KEY is there; see `index.sealing`.
    Raises GalleryExists, GalleryUnavailable, CollectionInvalid, StoreKeyInvalid.
    """
    with new_file(path, "cannot be created", "Choose another path, or open that gallery.") as part:
        write_empty(part, spaces, environment)
    return open_store(path, environment=environment, clock=clock)


def open_store(
    path: Path,
    *,
    environment: Mapping[str, str] = os.environ,
    clock: Callable[[], datetime] = utc_now,
    engine: Engine | None = None,
    at_once: bool = False,
) -> "Store":
    """The store in this file; one of an older format is brought to this one first.

    at_once: a gallery is going to be asked for at once, so its snapshot files are read while the store is looked over.
    engine: what searches, and is closed with the store, or when it cannot be opened; None: the processor.
    Raises GalleryMissing, GalleryForeign, GalleryCorrupt or GalleryUnavailable, and leaves such a file as it is; the
    errors of `sealing_of` when it is sealed.
    """
    engine = engine or Scanner()
    ahead = ReadAhead(likely_files(path) if at_once else ())
    try:
        if inspect(path) < SCHEMA_VERSION:
            migrate(path, clock().isoformat())
        return Store(path, environment, clock, engine, ahead)
    except BaseException:
        ahead.close()
        engine.close()
        raise


class Store:
    """An open store. For any number of threads; several processes may have it open."""

    def __init__(
        self,
        path: Path,
        environment: Mapping[str, str],
        clock: Callable[[], datetime],
        engine: Engine,
        ahead: ReadAhead,
    ) -> None:
        self.path, self.clock, self.engine, self._ahead = path, clock, engine, ahead
        self._readers = Readers(path)
        self._caches: dict[int, Cache] = {}
        self._opening, self._scrubbing = threading.Lock(), threading.Lock()
        try:
            self.store_id, self._salt, sealed = self.read(_identity)
            self.sealing: Sealing = sealing_of(sealed, self.store_id, environment)
            self._writer = Writer(path)
        except BaseException:
            self._readers.close()
            raise
        try:
            if self.scrub_pending():  # forgotten, but interrupted before the bytes were gone
                self.scrub(0)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """When what was asked for is done: writes, and compaction in the background."""
        for cache in self._caches.values():
            cache.close()
        self._ahead.close()
        self._writer.close()
        self._readers.close()
        self.engine.close()

    # Jobs.

    def write(self, job: Job[T]) -> T:
        """Run `job` inside a transaction, which may be others' too; durable on return. See `Writer`.

        Raises what the job raises, GalleryBusy after five seconds, GalleryUnavailable.
        """
        return self._writer.submit(job).result()

    def read(self, job: Job[T]) -> T:
        """Run `job` on the store as of one moment. See `Readers`."""
        return self._readers.read(job)

    def read_segment(self, path: Path) -> Segment:
        """See `segment_file.read_segment`."""
        return self._ahead.read(path)

    def audit(
        self,
        actor: str,
        action: str,
        *,
        collection: str = "",
        subject_id: str | None = None,
        body: Mapping[str, Any] = MappingProxyType({}),
    ) -> int:
        """The number of a new row of the audit log, durable on return. Raises AuditInvalid."""
        return self.audit_soon(
            actor, action, collection=collection, subject_id=subject_id, body=body, awaited=True
        ).result()

    def audit_soon(
        self,
        actor: str,
        action: str,
        *,
        collection: str = "",
        subject_id: str | None = None,
        body: Mapping[str, Any] = MappingProxyType({}),
        awaited: bool = False,
    ) -> Future[int]:
        """The same, without waiting: for what has changed nothing, and must not stop when nothing can be written.

        awaited: somebody waits for it after all; see `Writer.submit`.
        """
        at = self.clock().isoformat()
        return self._writer.submit(
            lambda connection: audit.append(
                connection,
                salt=self._salt,
                actor=actor,
                action=action,
                collection=collection,
                subject_id=subject_id,
                body=body,
                at=at,
            ),
            awaited=awaited,
        )

    def settle(self, seconds: float) -> None:
        """Wait until what was handed over is written; no longer than this, and not for what cannot be."""
        with suppress(GalleryError, TimeoutError):
            self._writer.submit(lambda _: None).result(seconds)

    def digest_of(self, subject_id: str) -> str:
        """What the audit log calls this Subject: 32 hex digits."""
        return audit.digest(self._salt, subject_id)

    # Collections.

    def collections(self) -> list[CollectionInfo]:
        """By name."""

        def read(connection: sqlite3.Connection) -> list[CollectionInfo]:
            rows = connection.execute(
                "SELECT name, space, space_id, subjects, seq,"
                " (SELECT coalesce(sum(templates), 0) FROM tallies WHERE collection = number)"
                " FROM collections ORDER BY name"
            )
            return [
                CollectionInfo(name, self._space(space, space_id), subjects, templates, seq)
                for name, space, space_id, subjects, seq, templates in rows
            ]

        return self.read(read)

    def create_collection(self, name: str, space: Space, *, actor: str | By = "cli") -> None:
        """Raises CollectionExists, CollectionInvalid."""
        at = self.clock().isoformat()
        self.write(lambda connection: self.make(connection, name, space, actor, at))

    def delete_collection(self, name: str, *, actor: str | By = "cli") -> bool:
        """Delete a collection and everybody in it for good; whether their bytes are overwritten, in backups too.

        Raises CollectionUnknown.
        """
        at = self.clock().isoformat()

        def delete(connection: sqlite3.Connection) -> int:
            of = self.find(connection, name)
            erase_all(Change(connection, of, actor, at))
            return of.number

        self._drop_cache(self.write(delete))
        scrubbed, left_in = self.scrub(scrub.WAIT)
        return scrubbed and not left_in

    def gallery(self, name: str = DEFAULT, *, closes_store: bool = False) -> LocalGallery:
        """The collection of this name, checked row by row, or loaded from its snapshot files.

        Raises CollectionUnknown, GalleryCorrupt.
        """
        of = self.read(lambda connection: self.find(connection, name))
        with self._opening:
            cache = self._caches.get(of.number)
            if cache is None:
                cache = self._caches[of.number] = Cache(self, of.number, of.space.dim)
                self._ahead.close()  # whatever it has read besides
        return LocalGallery(self, of, cache, closes_store=closes_store)

    def find(self, connection: sqlite3.Connection, name: str) -> Collection:
        """The collection of this name, for functions that speak SQL inside a job. Raises CollectionUnknown."""
        row = connection.execute("SELECT number, space, space_id FROM collections WHERE name = ?", (name,)).fetchone()
        if row is None:
            remedy = "index stats lists them, and so does GET /v1/collections."
            raise CollectionUnknown("no such collection", name, remedy)
        number, space, space_id = row
        return self._collection(number, name, self._space(space, space_id))

    def make(self, connection: sqlite3.Connection, name: str, space: Space, actor: str | By, at: str) -> Collection:
        """A new collection, inside a job. Raises CollectionExists, CollectionInvalid."""
        require_text(name, "name of a collection", CollectionInvalid)
        if connection.execute("SELECT 1 FROM collections WHERE name = ?", (name,)).fetchone():
            raise CollectionExists("there is a collection of this name", name, "Choose another name.")
        of = self._collection(insert_collection(connection, name, space), name, space)
        Change(connection, of, actor, at).tell("create_collection", None, {"space_id": space.space_id})
        return of

    def _collection(self, number: int, name: str, space: Space) -> Collection:
        return Collection(self.path, number, name, space, self.sealing, self._salt)

    def _space(self, text: str, space_id: str) -> Space:
        try:
            space = SPACE_JSON.validate_json(text)
        except ValidationError:
            space = None
        if space is None or space.space_id != space_id:
            raise GalleryCorrupt("the record of its Space is damaged", str(self.path), RESTORE)
        return space

    # Erasing and checking.

    def scrub(self, wait: float) -> tuple[bool, tuple[str, ...]]:
        """Overwrite what was deleted: the file is written anew, the log emptied, caches and their files are rebuilt.

        Whether that is done; and `Receipt.left_in`, as whoever was deleted leaves the backups, too.
        False: somebody is in the way, or the disk, and the next call goes on. `secure_delete` alone is not enough: a
        page that SQLite split keeps copies of rows it moved to another, ids in the index of subjects were found there.
        Takes time and memory as large as the file.
        wait: seconds to go on trying for; a reader of another process that is still open keeps the old pages in place.
        """
        deadline = time.monotonic() + wait
        with self._scrubbing:
            pending = self.scrub_pending()
            # Before the last step: until that is done, whoever opens the store does all of this again.
            left_in = tuple(purged.fault for purged in purge(self.path) if purged.fault)
            try:
                return not pending or self._scrubbed(pending, deadline), left_in
            except (GalleryBusy, GalleryUnavailable, OSError) as error:
                _LOG.warning("what was forgotten is not overwritten yet: %s", error)
                return False, left_in

    def _scrubbed(self, pending: int, deadline: float) -> bool:
        steps = [self._erase_caches, self._rewrite, self._empty_log]
        while steps:
            if steps[0](max(0.0, deadline - time.monotonic())):
                steps.pop(0)
            elif time.monotonic() >= deadline:
                return False
        self.write(
            lambda connection: connection.execute(  # unless somebody else was forgotten meanwhile
                "UPDATE store SET scrub_pending = 0 WHERE scrub_pending = ?", (pending,)
            )
        )
        return True

    def scrub_pending(self) -> int:
        """How often something was deleted since all that was deleted was last overwritten."""
        return self.read(lambda connection: int(connection.execute("SELECT scrub_pending FROM store").fetchone()[0]))

    def faults(self) -> list[str]:
        """What is wrong with the file, read anew from disk, as sentences; empty when nothing is."""
        return faults.of_store(self.path)

    def _erase_caches(self, wait: float) -> bool:
        with self._opening:
            caches = dict(self._caches)
        erased = [self._erase_cache(number, cache, wait) for number, cache in caches.items()]
        with self._opening:
            kept = list(self._caches)
        return drop_all_but(self.path, kept, wait) and all(erased)

    def _erase_cache(self, number: int, cache: Cache, wait: float) -> bool:
        try:
            return cache.erase(wait)
        except CollectionUnknown:  # deleted meanwhile, or by another process
            self._drop_cache(number)
            return True

    def _drop_cache(self, number: int) -> None:
        with self._opening:
            cache = self._caches.pop(number, None)
        if cache is not None:
            cache.close()

    def _rewrite(self, _: float) -> bool:
        try:
            self._writer.submit_alone(lambda connection: connection.execute("VACUUM").close()).result()
        except GalleryBusy:
            return False
        return True

    def _empty_log(self, _: float) -> bool:
        busy, _, _ = self._writer.submit_alone(
            lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        ).result()
        if not busy:
            sync(beside(self.path, "-wal"))  # SQLite leaves that out: a power cut would undo it
        return not busy


def _identity(connection: sqlite3.Connection) -> tuple[str, bytes, str]:
    store_id, salt, sealed = connection.execute("SELECT store_id, salt, sealed FROM store WHERE only = 1").fetchone()
    return store_id, salt, sealed
