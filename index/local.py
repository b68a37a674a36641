"""A Gallery that is one collection of a store, searched in memory."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

import numpy as np

from faces.embed import Vectors
from faces.space import Space
from index import candidates, merges, scrub, settings, subjects, templates
from index.backup import unpurged
from index.cache import Cache
from index.collection import By, Change, Collection
from index.connection import RESTORE
from index.contract import (
    Candidate,
    Ends,
    Enrolment,
    GalleryStats,
    Receipt,
    Subject,
    SubjectDetails,
    Template,
    TemplateInfo,
    unit_rows,
)
from index.errors import GalleryCorrupt, ProbesInvalid, TemplatesInvalid
from index.recall import Approximation, Recall, measure
from index.search import Hit, Snapshot
from index.subjects import KEEP, Keep, Revise
from index.threshold import Threshold

if TYPE_CHECKING:
    from index.store import Store

T = TypeVar("T")

_ANOTHER_SPACE: Final = "Use the Model that made this gallery, or a student distilled from it."


class LocalGallery:
    """One collection of a Store. For any number of threads; other processes may write too.

    Writes return when they are durable, and searches from then on know of them. Searches never wait for a write of this
    process; what another process wrote is found by the next search, which reads it in while concurrent ones answer as
    of the moment before. `actor` is whom the audit log names: the id of an API key, or `cli`.
    """

    def __init__(self, store: "Store", of: Collection, cache: Cache, *, closes_store: bool = False) -> None:
        self.store, self.path, self.collection, self.space = store, store.path, of.name, of.space
        self._of, self._cache, self._closes_store = of, cache, closes_store

    @property
    def number(self) -> int:
        """Of the collection: never given twice."""
        return self._of.number

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the store as well, where the gallery alone was opened."""
        if self._closes_store:
            self.store.close()

    # Enrolling.

    def enrol(
        self,
        subject_id: str,
        templates: Sequence[Template],
        *,
        space: Space,
        name: str | None = None,
        known_only: bool = False,
        actor: str | By = "cli",
    ) -> list[int]:
        """See Gallery."""
        enrolments = [Enrolment(subject_id, templates, name)]
        (ids,) = self.enrol_all(enrolments, space=space, known_only=known_only, actor=actor)
        return ids

    def enrol_all(
        self, enrolments: Sequence[Enrolment], *, space: Space, known_only: bool = False, actor: str | By = "cli"
    ) -> list[list[int]]:
        """`enrol` for many in one commit. All or none.

        known_only: raises SubjectUnknown rather than making a Subject: one that was forgotten meanwhile stays so.
        """
        self.require_space(space)
        rows = [templates.checked(enrolment, self.space.dim) for enrolment in enrolments]

        def enrol_them(change: Change) -> list[list[int]]:
            if known_only:
                for enrolment in enrolments:
                    subjects.require(change.connection, change.of, enrolment.subject_id)
            return [_enrolled(change, enrolment, row) for enrolment, row in zip(enrolments, rows, strict=True)]

        return self._change(enrol_them, actor)

    def require_space(self, space: Space) -> None:
        """Raises SpaceMismatch when embeddings of `space` mean nothing here."""
        self.space.require_same(space, _ANOTHER_SPACE)

    # Searching.

    def search(self, probes: Vectors, k: int, *, space: Space) -> list[list[Candidate]]:
        """See Gallery. Besides, raises GalleryCorrupt when another process left damaged rows."""
        vectors = self._comparable(probes, space)
        if k < 1:
            raise ProbesInvalid("the number of Candidates must be at least 1", k, "Ask for one or more.")
        snapshot = self._cache.current()
        while (found := self._named(vectors, snapshot.search(vectors, k, self._cache.engine(snapshot)))) is None:
            snapshot = self._later_than(snapshot)
        return found

    def best(self, probes: Vectors, subject_id: str, *, space: Space) -> list[Candidate | None]:
        """How near each probe (n, dim) is to one Subject, for 1:1; None when it has no Templates.

        Raises SpaceMismatch, ProbesInvalid, SubjectUnknown.
        """
        vectors = self._comparable(probes, space)
        return self.store.read(lambda connection: candidates.of_one(connection, self._of, subject_id, vectors))

    def compare(self, probes: Vectors, template_id: int, *, space: Space) -> list[Candidate]:
        """How near each probe (n, dim) is to one Template. Raises SpaceMismatch, ProbesInvalid, TemplateUnknown."""
        vectors = self._comparable(probes, space)
        return self.store.read(lambda connection: candidates.of_template(connection, self._of, template_id, vectors))

    # Subjects and their Templates.

    def put_subject(
        self,
        subject_id: str,
        *,
        name: str | None = None,
        details: SubjectDetails | None = None,
        expires: datetime | None = None,
        actor: str | By = "cli",
    ) -> Subject:
        """A new Subject without Templates. Raises SubjectExists, SubjectInvalid."""
        about = SubjectDetails() if details is None else details
        return self._change(lambda change: subjects.put(change, subject_id, name, about, expires), actor)

    def subject(self, subject_id: str) -> Subject:
        """Raises SubjectUnknown."""
        return self.store.read(lambda connection: subjects.read(connection, self._of, subject_id))

    def subjects(self, limit: int, after: str | None = None) -> list[Subject]:
        """Up to `limit` by their ids, strictly after `after`."""
        return self.store.read(lambda connection: subjects.page(connection, self._of, limit, after))

    def update_subject(
        self,
        subject_id: str,
        *,
        name: str | None = None,
        details: Revise | None = None,
        expires: datetime | Keep | None = KEEP,
        actor: str | By = "cli",
    ) -> Subject:
        """Change what is given; expires None: never. Raises SubjectUnknown, SubjectInvalid.

        details: called inside the write, so that no other one comes between what it is given and what it returns.
        """
        return self._change(lambda change: subjects.update(change, subject_id, name, details, expires), actor)

    def templates(self, subject_id: str) -> list[TemplateInfo]:
        """Oldest first. Raises SubjectUnknown."""
        return self.store.read(lambda connection: templates.listed(connection, self._of, subject_id))

    def owner(self, template_id: int) -> str:
        """The id of the Subject that has this Template. Raises TemplateUnknown."""
        return self.store.read(lambda connection: templates.owner(connection, self._of, template_id))

    def merge(self, subject_id: str, into: str, *, create: bool = False, actor: str | By = "cli") -> int:
        """See `merges.merge`."""
        return self._change(lambda change: merges.merge(change, subject_id, into, create=create), actor)

    def undo_merge(self, number: int, *, actor: str | By = "cli") -> Subject:
        """See `merges.undo`."""
        return self._change(
            lambda change: subjects.read(change.connection, self._of, merges.undo(change, number)), actor
        )

    def add_negative(
        self, subject_id: str, embedding: Vectors, *, space: Space, model_id: str, actor: str | By = "cli"
    ) -> int:
        """Remember that this embedding (dim,) is not of the Subject; the id of the example.

        Raises SpaceMismatch, TemplatesInvalid, SubjectUnknown.
        """
        self.require_space(space)
        (vector,) = unit_rows(np.atleast_2d(embedding), self.space.dim, TemplatesInvalid)
        return self._change(lambda change: templates.add_negative(change, subject_id, model_id, vector), actor)

    def negatives(self, subject_id: str) -> list[int]:
        """The ids of a Subject's negative examples. Raises SubjectUnknown."""
        return self.store.read(lambda connection: templates.negatives(connection, self._of, subject_id))

    def drop_negative(self, number: int, *, actor: str | By = "cli") -> None:
        """Raises NegativeUnknown. Its bytes are overwritten when something is next forgotten."""
        self._change(lambda change: templates.drop_negative(change, number), actor)

    # Forgetting.

    def forget(self, subject_id: str, *, actor: str | By = "cli") -> Receipt:
        """See Gallery. Waits up to half a minute for readers of other processes that keep old pages; see Receipt."""
        return self.forget_all([subject_id], actor=actor)[0]

    def forget_template(self, subject_id: str, template_id: int, *, actor: str | By = "cli") -> Receipt:
        """One Template of a Subject, which stays. Raises SubjectUnknown, TemplateUnknown."""
        return self.forget_templates([(subject_id, template_id)], actor=actor)[0]

    def forget_templates(self, pairs: Sequence[tuple[str, int]], *, actor: str | By = "cli") -> list[Receipt]:
        """Templates of Subjects (subject id, template id), in one commit: all or none. Raises the same."""

        def erase(change: Change) -> list[tuple[str, int]]:
            for subject_id, template_id in pairs:
                templates.erase(change, subject_id, template_id)
            return [(subject_id, 1) for subject_id, _ in pairs]

        return self._forget(erase, actor)

    def forget_all(self, subject_ids: Sequence[str], *, actor: str | By = "cli") -> list[Receipt]:
        """`forget` for many in one commit: all or none."""
        return self._forget(lambda change: [(each, subjects.erase(change, each)) for each in subject_ids], actor)

    def forget_expired(self, now: datetime, *, actor: str | By = "cli") -> list[Receipt]:
        """Every Subject whose time has come."""

        def erase(change: Change) -> list[tuple[str, int]]:
            gone = subjects.expired(change.connection, self._of, now)
            return [(subject_id, subjects.erase(change, subject_id)) for subject_id in gone]

        return self._forget(erase, actor) if self.store.read(lambda c: subjects.expired(c, self._of, now)) else []

    # About the whole.

    def check(self) -> list[str]:
        """See Gallery: the file as it is on disk, the cache against it, and whether backups have anybody forgotten."""
        if faults := self.store.faults():
            return faults
        pending = [
            "Forgotten Templates are not overwritten yet: another process keeps a read open, or the disk is full."
        ]
        return self._cache.faults() + (pending if self.store.scrub_pending() else []) + unpurged(self.path)

    def stats(self) -> GalleryStats:
        """See Gallery. In no time: the store counts as it goes."""
        return self.store.read(lambda connection: settings.stats(connection, self._of))

    def sources(self) -> dict[str, set[str]]:
        """SHA-256 of each photo enrolled -> the Subjects it was enrolled for."""
        owners: dict[str, set[str]] = {}
        for source, subject_id in self.store.read(lambda connection: templates.sources(connection, self._of)):
            owners.setdefault(source, set()).add(subject_id)
        return owners

    def ends(self, most: int) -> Ends:
        """Of at most so many Subjects that have Templates, evenly spread from the first enrolled to the last."""
        snapshot = self._cache.refresh()
        ids, owners = snapshot.ids_and_owners()
        _, first = np.unique(owners, return_index=True)
        _, from_last = np.unique(owners[::-1], return_index=True)
        in_order = np.argsort(first)
        chosen = in_order[np.unique(np.linspace(0, len(first) - 1, min(len(first), most)).round().astype(np.int64))]
        numbers = owners[first[chosen]].tolist()
        names = self.store.read(lambda connection: subjects.named(connection, self._of, numbers))
        there = [row for row, number in enumerate(numbers) if number in names]  # all, unless forgotten since
        last = len(ids) - 1 - from_last[chosen]
        oldest, newest = (_unit(snapshot.locate(ids[rows[there]])[1]) for rows in (first[chosen], last))
        return Ends([names[numbers[row]][0] for row in there], oldest, newest)

    def codes_of(self, templates: Sequence[int]) -> list[tuple[int, bytes]]:
        """Id and code of those Templates that the cache holds in a segment: what its snapshot files hold of them."""
        return self._cache.refresh().codes_of(templates)

    def approximation(self) -> Approximation | None:
        """On what grounds the gallery is searched approximately. None: it is searched exactly."""
        return self.store.read(lambda connection: settings.approximation(connection, self._of.number))

    def approximate(self, wanted: Approximation | None, *, actor: str = "cli") -> None:
        """From now on, in every process, once the codes are made in the background. None: exactly again."""
        self._change(lambda change: settings.put_approximation(change, wanted), actor)

    def recall(self, probes: int, seed: int, *, report_progress: Callable[[int], None] = lambda _: None) -> Recall:
        """What an approximate search would miss here. See `recall.measure`. Raises ApproximationRefused."""
        snapshot, approximate = self._cache.approximately()
        return measure(
            snapshot, self.store.engine, approximate, probes=probes, seed=seed, report_progress=report_progress
        )

    def compact(self) -> None:
        """Lay the cache out anew now, rather than in the background when it is worth it."""
        self._cache.compact()

    # What is remembered beside.

    def active_model(self) -> str | None:
        """The name or locator of the Model the service was last told to use."""
        return self._setting("active_model")

    def started_with(self) -> str | None:
        """The Model that the service had been started with when it was told; None when with none."""
        return self._setting("started_with") or None

    def previous_model(self) -> str | None:
        """The one before the active one; None: there is no way back."""
        return self._setting("previous_model") or None

    def set_active_model(
        self, reference: str, *, previous: str | None = None, started_with: str | None = None, actor: str | By = "cli"
    ) -> None:
        """All durable, or none, when it returns."""

        def remember(change: Change) -> None:
            settings.write(change.connection, self._of, "active_model", reference)
            settings.write(change.connection, self._of, "previous_model", previous or "")
            settings.write(change.connection, self._of, "started_with", started_with or "")
            change.tell("set_active_model", None, {"model": reference})

        self._change(remember, actor)

    def thresholds(self, model_id: str) -> list[Threshold]:
        """Those kept for probes by this Model, the highest FPIR first."""
        return self.store.read(lambda connection: settings.thresholds(connection, self._of, model_id))

    def put_thresholds(self, thresholds: Iterable[Threshold], *, actor: str | By = "cli") -> None:
        """Keep them, in place of those for the same Model and FPIR."""
        kept = list(thresholds)
        self._change(lambda change: settings.put_thresholds(change, kept), actor)

    def _setting(self, name: str) -> str | None:
        return self.store.read(lambda connection: settings.read(connection, self._of, name))

    def _change(self, job: Callable[[Change], T], actor: str | By) -> T:
        """Do it durably, and let searches know."""
        at = self.store.clock().isoformat()

        def write(connection: sqlite3.Connection) -> T:
            self._of.require_there(connection)
            return job(Change(connection, self._of, actor, at))

        result = self.store.write(write)
        self._cache.refresh()
        return result

    def _forget(self, job: Callable[[Change], list[tuple[str, int]]], actor: str | By) -> list[Receipt]:
        gone = self._change(job, actor)
        hidden_at = self.store.clock().isoformat()
        scrubbed, left_in = self.store.scrub(scrub.WAIT)
        erased_at = self.store.clock().isoformat() if scrubbed and not left_in else None
        return [Receipt(subject_id, count, hidden_at, erased_at, left_in) for subject_id, count in gone]

    def _comparable(self, probes: Vectors, space: Space) -> Vectors:
        """Raises SpaceMismatch, ProbesInvalid."""
        self.require_space(space)
        return unit_rows(probes, self.space.dim, ProbesInvalid)

    def _named(self, probes: Vectors, found: list[list[Hit]]) -> list[list[Candidate]] | None:
        """Hits as Candidates. None: one of their Subjects is no longer there."""
        return self.store.read(lambda connection: candidates.named(connection, self._of, probes, found))

    def _later_than(self, snapshot: Snapshot) -> Snapshot:
        later = self._cache.refresh()
        if later.seq == snapshot.seq:
            raise GalleryCorrupt("Templates of a Subject that is not there", str(self.path), RESTORE)
        return later


def _unit(rows: Vectors) -> Vectors:
    """Rounding to fp16 moved their lengths a little."""
    scaled: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def _enrolled(change: Change, enrolment: Enrolment, vectors: Vectors) -> list[int]:
    number = subjects.ensure(change, enrolment.subject_id, enrolment.name)
    ids = templates.add(change, number, enrolment.templates, vectors)
    change.tell("enrol", enrolment.subject_id, {"templates": len(ids)})
    return ids
