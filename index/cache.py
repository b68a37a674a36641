"""The cache of one collection: made from snapshot files or from the store, kept up to date, compacted while in use.

Truth first, then cache: a write commits, and then a new Snapshot is published by swapping one reference. A search takes
the reference once, so it never waits for a write, and no write changes what it sees.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol, TypeVar

import numpy as np

from faces.errors import FacesError
from index import approximate, operations, settings
from index.compaction import ERASING, EVERYTHING, FEWEST, Growing, Rule, build, due, plan, published
from index.connection import RESTORE
from index.errors import ApproximationRefused, CollectionUnknown, GalleryCorrupt, SegmentDamaged
from index.rows import TEMPLATE, Numbers, Row, template_fault, template_vectors
from index.sealing import Sealing
from index.search import Scans, Snapshot, nothing
from index.segment import Segment
from index.snapshots import Saved, SnapshotFiles, folder_of
from index.writer import Job

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
_CHUNK: Final = 4096  # rows read at once
_MANIFEST: Final = "cache_manifest"  # the setting that holds the digest of the manifest of the snapshot files


class Truth(Protocol):
    """What a cache needs of a store."""

    @property
    def path(self) -> Path: ...
    @property
    def store_id(self) -> str: ...
    @property
    def sealing(self) -> Sealing: ...
    @property
    def engine(self) -> Scans: ...
    def read(self, job: Job[T]) -> T: ...
    def write(self, job: Job[T]) -> T: ...
    def read_segment(self, path: Path) -> Segment: ...


class Cache:
    """For any number of threads. Raises GalleryCorrupt when made from damaged rows."""

    def __init__(self, truth: Truth, collection: int, dim: int) -> None:
        self._truth, self._collection, self._dim = truth, collection, dim
        self._files = SnapshotFiles(truth.path, truth.store_id, collection)
        self._refreshing, self._compacting = threading.Lock(), threading.Lock()
        self._worker: threading.Thread | None = None
        self._waking, self._working = threading.Lock(), False
        self._closed = False
        self._approximate = approximate.Approximate(truth.engine)
        self._approximate_from: int | None = None  # Templates
        self._snapshot = nothing(dim)
        self._snapshot = self._loaded() or truth.read(self._anew)
        self._heed_settings()
        if any(not part.file for part in self._snapshot.segments) or self._uncoded():
            self._compact_soon()  # which saves, too

    def close(self) -> None:
        """When the work in the background has come to an end."""
        self._closed = True
        if self._worker is not None:
            self._worker.join()
        self._approximate.close()

    def current(self) -> Snapshot:
        """The Snapshot to answer from: up to date, or a moment old while another thread reads in what is new."""
        if self._refreshing.acquire(blocking=False):
            try:
                self._bring_up()
            finally:
                self._refreshing.release()
        return self._snapshot

    def refresh(self) -> Snapshot:
        """A Snapshot no older than what is committed now."""
        with self._refreshing:
            self._bring_up()
            return self._snapshot

    def engine(self, snapshot: Snapshot) -> Scans:
        """What is to search this Snapshot."""
        return self._approximate if self._approximates(snapshot) else self._truth.engine

    def approximately(self) -> tuple[Snapshot, Scans]:
        """This moment's Snapshot, and what searches it approximately, whatever the settings. May take minutes.

        Raises ApproximationRefused when it has no segment that is worth it.
        """
        snapshot = self.refresh()
        segments = _segments(snapshot)
        self._approximate.prepare(segments)
        if not self._approximate.codes_any(segments):
            remedy = f"It takes {approximate.FEWEST} or more; with fewer, an exact search is as fast."
            raise ApproximationRefused("too few Templates to search approximately", snapshot.living, remedy)
        return snapshot, self._approximate

    def compact(self, rule: Rule = EVERYTHING) -> None:
        """Lay the rows out anew, and write the snapshot files. Searches go on meanwhile."""
        with self._compacting:
            self._lay_out(rule)
            self._save()
        self._approximate.prepare(self._uncoded())

    def erase(self, wait: float) -> bool:
        """Leave no erased row in memory or in a snapshot file. False: after `wait` seconds others keep the files.

        Raises OSError when the disk lets them be neither written nor removed.
        """
        with self._compacting:
            self.refresh()
            self._lay_out(ERASING)
            try:
                saved = self._saved(wait)
            except OSError as error:
                _LOG.warning("snapshot files cannot be written, and are removed: %s", error)
                saved = self._saved(wait, keep=False)
        if self._uncoded():
            self._compact_soon()
        return saved

    def faults(self) -> list[str]:
        """What the cache holds otherwise than the store, as sentences."""
        return self._truth.read(self._faults)

    # Following the store.

    def _loaded(self) -> Snapshot | None:
        """From the snapshot files and what happened since. None: there are none that can be trusted."""
        expected = self._truth.read(lambda connection: _manifest(connection, self._collection))
        if not expected or self._truth.sealing.state:
            return None
        try:
            saved = self._files.load(expected, self._truth.read_segment)
        except SegmentDamaged as error:
            _LOG.warning("%s", error)
            return None
        start = replace(self._snapshot, seq=saved.seq, last=saved.last, segments=saved.segments)
        return self._truth.read(lambda connection: self._follow(connection, start))

    def _bring_up(self) -> None:
        before = self._snapshot
        self._snapshot = self._truth.read(self._after)
        if self._snapshot is not before:
            self._heed_settings()
            if self._is_due():
                self._compact_soon()

    def _heed_settings(self) -> None:
        wanted = self._truth.read(lambda connection: settings.approximation(connection, self._collection))
        self._approximate_from = None if wanted is None else wanted.templates
        if wanted is None:
            self._approximate.forget_codes()

    def _approximates(self, snapshot: Snapshot) -> bool:
        return self._approximate_from is not None and snapshot.living >= self._approximate_from

    def _uncoded(self) -> list[Segment]:
        """Segments that are searched approximately, once they have codes."""
        return self._approximate.lacks(_segments(self._snapshot)) if self._approximates(self._snapshot) else []

    def _after(self, connection: sqlite3.Connection) -> Snapshot:
        """The Snapshot of this moment, from the current one where the log reaches back to it."""
        if _seq(connection, self._collection) == self._snapshot.seq:
            return self._snapshot
        return self._follow(connection, self._snapshot) or self._anew(connection)

    def _follow(self, connection: sqlite3.Connection, start: Snapshot) -> Snapshot | None:
        """`start` with what happened since. None: the log does not say."""
        truth = _state(connection, self._collection)
        if not truth.pruned <= start.seq <= truth.seq:
            return None
        log = operations.moves_since(connection, self._collection, start.seq)
        erased = [template for kind, template, _ in log if kind == "erase"]
        moved = {template: subject for kind, template, subject in log if kind == "move"}
        after = self._grown(connection, start.changed(erased, moved), truth).at(truth.seq, truth.last)
        if after.living == truth.templates:
            return after
        _LOG.warning("the cache of %s does not follow from its log, and is made anew", self._truth.path)
        return None

    def _anew(self, connection: sqlite3.Connection) -> Snapshot:
        """From the rows of the store alone. Raises GalleryCorrupt."""
        truth = _state(connection, self._collection)
        growing = self._grown(connection, replace(nothing(self._dim), generation=self._snapshot.generation + 1), truth)
        if len(growing) >= FEWEST:
            growing.settle()
        after = growing.at(truth.seq, truth.last)
        if after.living != truth.templates:
            raise GalleryCorrupt(
                f"{after.living} Templates, where {truth.templates} were counted", str(self._truth.path), RESTORE
            )
        return after

    def _grown(self, connection: sqlite3.Connection, start: Snapshot, truth: "_State") -> Growing:
        """`start` and every Template after it."""
        growing = Growing(start)
        if start.last == truth.last:
            return growing
        for rows in stored_templates(connection, self._collection, start.last):
            for row in rows:
                if fault := template_fault(row):
                    raise GalleryCorrupt(fault, str(self._truth.path), RESTORE)
            growing.add(*_ids_and_owners(rows), template_vectors(rows, self._truth.sealing, self._dim))
        return growing

    def _faults(self, connection: sqlite3.Connection) -> list[str]:
        snapshot, found, stored = self._after(connection), [], [np.empty(0, np.int64)]
        for rows in stored_templates(connection, self._collection, 0):
            ids, owners = _ids_and_owners(rows)
            vectors = template_vectors(rows, self._truth.sealing, self._dim)
            held_owners, held, there = snapshot.locate(ids)
            alike = (held_owners == owners) & (held == vectors).all(axis=1)
            found += [f"Template {template} is not in the cache" for template in ids[~there]]
            found += [
                f"the cache holds Template {template} otherwise than the store" for template in ids[there & ~alike]
            ]
            stored.append(ids)
        more = np.setdiff1d(snapshot.ids_and_owners()[0], np.concatenate(stored))
        return found + [f"the cache holds Template {template}, which the store does not" for template in more]

    # In the background.

    def _is_due(self) -> bool:
        """Whether there is work for the background."""
        return bool(plan(self._snapshot, due(self._snapshot)) or self._uncoded())

    def _compact_soon(self) -> None:
        with self._waking:
            if self._closed or self._working:
                return
            self._working = True
            name = f"compaction of {self._truth.path.name}"
            self._worker = threading.Thread(target=self._work, name=name, daemon=True)
            self._worker.start()

    def _work(self) -> None:
        try:
            while not self._closed:
                with self._compacting:
                    self._lay_out(due(self._snapshot))
                    self._save()
                self._approximate.prepare(self._uncoded(), lambda: not self._closed)
                if not self._goes_on():
                    return
        except FacesError as error:
            self._working = False
            _LOG.warning("compaction stopped, and is tried again after the next write: %s", error)
        except BaseException:
            self._working = False
            raise

    def _goes_on(self) -> bool:
        """A look and what follows from it, in one: whoever has work then finds a worker or none, not one that ends."""
        with self._waking:
            self._working = self._is_due()
            return self._working

    def _lay_out(self, rule: Rule) -> None:
        while todo := plan(before := self._snapshot, rule):
            built = [build(before, group) for group in todo.groups]
            with self._refreshing:
                if self._snapshot.generation == before.generation:
                    self._snapshot = published(self._snapshot, before, todo, built)
                    return

    def _save(self) -> None:
        """Bring the snapshot files up to date, unless somebody else has them, or they cannot be written."""
        try:
            self._saved(wait=0)
        except OSError as error:
            _LOG.warning("snapshot files cannot be written: %s", error)

    def _saved(self, wait: float, keep: bool = True) -> bool:
        """Bring the snapshot files up to date, or remove them. False: somebody else has them. Raises OSError."""
        nothing_to_keep = self._truth.sealing.state or not self._snapshot.segments
        if nothing_to_keep and not folder_of(self._truth.path).exists():
            return True
        with self._files.locked(wait) as mine:
            if mine:
                self._save_locked(keep)
            return mine

    def _save_locked(self, keep: bool) -> None:
        while (snapshot := self.refresh()).erased:  # no file may hold what was erased before the lock was had
            self._lay_out(ERASING)
        if self._truth.sealing.state or not snapshot.segments or not keep:
            self._files.drop()
            self._remember("")
            return
        delta = snapshot.delta.rows.ids
        last = int(delta[0]) - 1 if len(delta) else snapshot.last
        manifest, names = self._files.save(Saved(snapshot.seq, last, snapshot.segments))
        self._remember(manifest)
        with self._refreshing:
            if self._snapshot.generation == snapshot.generation:
                self._snapshot = self._snapshot.kept_in(names, snapshot)

    def _remember(self, manifest: str) -> None:
        self._truth.write(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO settings SELECT number, ?, ? FROM collections WHERE number = ?",
                (_MANIFEST, manifest, self._collection),
            )
        )


def _segments(snapshot: Snapshot) -> list[Segment]:
    return [part.rows for part in snapshot.segments]


@dataclass(frozen=True, slots=True)
class _State:
    """Where a collection stands."""

    seq: int
    pruned: int
    templates: int
    last: int
    """The highest Template id given so far, whatever the collection."""


def _seq(connection: sqlite3.Connection, collection: int) -> int:
    row = connection.execute("SELECT seq FROM collections WHERE number = ?", (collection,)).fetchone()
    if row is None:
        raise CollectionUnknown("no longer a collection: number", collection, "It was deleted: open the gallery anew.")
    return int(row[0])


def _state(connection: sqlite3.Connection, collection: int) -> _State:
    seq = _seq(connection, collection)
    pruned, templates, last = connection.execute(
        "SELECT pruned, (SELECT coalesce(sum(templates), 0) FROM tallies WHERE collection = number),"
        " (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'templates')"
        " FROM collections WHERE number = ?",
        (collection,),
    ).fetchone()
    return _State(seq, pruned, templates, last)


def _manifest(connection: sqlite3.Connection, collection: int) -> str:
    row = connection.execute(
        "SELECT value FROM settings WHERE collection = ? AND name = ?", (collection, _MANIFEST)
    ).fetchone()
    return "" if row is None else str(row[0])


def stored_templates(connection: sqlite3.Connection, collection: int, after: int) -> Iterator[list[Row]]:
    """Rows of `templates` of a collection with ids higher than `after`, in order, some thousand at a time."""
    cursor = connection.execute(
        f"SELECT {TEMPLATE} FROM templates WHERE id > ?"  # noqa: S608 - column names of ours
        " AND (SELECT collection FROM subjects WHERE number = subject) = ? ORDER BY id",
        (after, collection),
    )
    while rows := cursor.fetchmany(_CHUNK):
        yield rows


def _ids_and_owners(rows: Sequence[Row]) -> tuple[Numbers, Numbers]:
    return np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.int64)
