"""A gallery: the Templates of one Space, and who is nearest to a probe."""

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import numpy as np
from pydantic import TypeAdapter

from faces.embed import Vectors
from faces.errors import FacesError
from faces.space import Space
from index.connection import RESTORE
from index.errors import GalleryCorrupt, NothingToEnrol, ProbesInvalid, SubjectInvalid, TemplatesInvalid
from index.search import Snapshot, empty
from index.store import Store, create_store
from index.threshold import Threshold

SUFFIX: Final = ".heirloom"

_THRESHOLDS: Final = TypeAdapter(list[Threshold])
_UNIT: Final = 1e-3  # how far from 1 the length of a unit row may be: fp16 stays within
_LONGEST_NAME: Final = 500  # characters
_SCRUB_WAIT: Final = 30.0  # seconds
_ANOTHER_SPACE: Final = "Use the Model that made this gallery, or a student distilled from it."


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One embedding of one photo, to be enrolled."""

    embedding: Vectors
    """(dim,) float32, unit length."""
    model_id: str
    """The Model that made it."""
    source: str = ""
    """SHA-256 of the photo's bytes, in hex; empty when unknown."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Templates for one Subject. `name` None: as it is; at first that is the id."""

    subject_id: str
    templates: Sequence[Template]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Subject and the cosine of its best Template with the probe; the older Template where two are equal."""

    subject_id: str
    name: str
    score: float
    template_id: int
    negative: float | None = None
    """The probe's highest cosine with a negative example of this Subject; None where it has none."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A Subject was forgotten: it is in no answer from `hidden_at` on, its bytes in no file from `erased_at` on.

    `erased_at` None: another process's open read keeps the old pages in the log. `check` says so until they are gone;
    opening the gallery and forgetting again try once more. Times are ISO 8601, UTC.
    """

    subject_id: str
    templates: int
    hidden_at: str
    erased_at: str | None


@dataclass(frozen=True, slots=True)
class GalleryStats:
    subjects: int
    templates: int
    version: int
    """Rises with every committed write."""
    space_id: str
    models: dict[str, int]
    """Templates by the model_id that made them."""


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """The first and the last that was enrolled of some Subjects, in the order in which these were."""

    subject_ids: list[str]
    oldest: Vectors
    """(n, dim) one Template a Subject."""
    newest: Vectors
    """(n, dim) equal to the oldest where a Subject has one Template."""


class Gallery(Protocol):
    """What every kind of gallery does; `tests/index/test_contract.py` says it in examples."""

    @property
    def space(self) -> Space: ...

    def enrol(
        self, subject_id: str, templates: Sequence[Template], *, space: Space, name: str | None = None
    ) -> list[int]:
        """Template ids, in order, once they are durable: all or none.

        Raises SpaceMismatch, TemplatesInvalid, SubjectInvalid, NothingToEnrol.
        """
        ...

    def search(self, probes: Vectors, k: int, *, space: Space) -> list[list[Candidate]]:
        """Up to k Subjects for each probe (n, dim), best first; none twice; equal scores: the older Template first.

        Raises SpaceMismatch, ProbesInvalid.
        """
        ...

    def forget(self, subject_id: str) -> Receipt:
        """Erase a Subject and all its Templates for good. Raises SubjectUnknown."""
        ...

    def check(self) -> list[str]:
        """What is wrong, as sentences; empty when nothing is."""
        ...

    def stats(self) -> GalleryStats: ...


def create_gallery(path: Path, space: Space) -> "LocalGallery":
    """A new gallery in one file. Raises GalleryExists, GalleryUnavailable."""
    return LocalGallery(create_store(path, space))


def open_gallery(path: Path) -> "LocalGallery":
    """The gallery in this file, checked row by row.

    Raises GalleryMissing, GalleryForeign, GalleryCorrupt or GalleryUnavailable; such a file is left as it is.
    """
    return LocalGallery(Store(path))


def open_or_create_gallery(path: Path, space: Space) -> "LocalGallery":
    """The gallery in this file; a new one where there is no file. Raises what these two raise, and SpaceMismatch."""
    if not path.exists():
        return create_gallery(path, space)
    gallery = open_gallery(path)
    try:
        gallery.require_space(space)
    except FacesError:
        gallery.close()
        raise
    return gallery


def utc_now() -> datetime:
    return datetime.now(UTC)


class LocalGallery:
    """A Gallery in one SQLite file, searched in memory. For any number of threads; other processes may write too.

    Truth first, then cache: a write commits, then its Snapshot is published by swapping one reference. Searches take
    the reference once and never wait for a write of this process. What another process wrote is found by the next
    search, which reads it in while concurrent ones answer as of the moment before.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._clock = clock
        self._refreshing = threading.Lock()
        self._snapshot = empty(store.space.dim)
        self.path = store.path
        self.space = store.space
        try:
            self._refresh()
            if store.scrub_pending():  # forgotten, but interrupted before the bytes were gone
                store.scrub(0)
        except BaseException:
            store.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._store.close()

    def enrol(
        self, subject_id: str, templates: Sequence[Template], *, space: Space, name: str | None = None
    ) -> list[int]:
        """See Gallery."""
        (ids,) = self.enrol_all([Enrolment(subject_id, templates, name)], space=space)
        return ids

    def enrol_all(self, enrolments: Sequence[Enrolment], *, space: Space) -> list[list[int]]:
        """`enrol` for many in one commit: one wait for the disk, one new Snapshot. All or none."""
        self.require_space(space)
        rows = [self._valid(enrolment) for enrolment in enrolments]
        with self._store.atomic():
            ids = [self._write(enrolment, vectors) for enrolment, vectors in zip(enrolments, rows, strict=True)]
        self._refresh()
        return ids

    def require_space(self, space: Space) -> None:
        """Raises SpaceMismatch when embeddings of `space` mean nothing here."""
        self.space.require_same(space, _ANOTHER_SPACE)

    def search(self, probes: Vectors, k: int, *, space: Space) -> list[list[Candidate]]:
        """See Gallery. Besides, raises GalleryCorrupt when another process left damaged rows."""
        self.require_space(space)
        if k < 1:
            raise ProbesInvalid("the number of Candidates must be at least 1", k, "Ask for one or more.")
        vectors = unit_rows(probes, self.space.dim, ProbesInvalid)
        current = self._current()
        return [
            [
                Candidate(subject.subject_id, subject.name, hit.score, hit.template)
                for hit in hits
                for subject in (current.subjects[hit.subject],)
            ]
            for hits in current.search(vectors, k)
        ]

    def forget(self, subject_id: str) -> Receipt:
        """See Gallery. Waits up to half a minute for readers of other processes that keep old pages; see Receipt."""
        with self._store.atomic():
            templates = self._store.delete_subject(subject_id)
        self._refresh()
        hidden_at = self._clock().isoformat()
        erased = self._store.scrub(_SCRUB_WAIT)
        return Receipt(subject_id, templates, hidden_at, self._clock().isoformat() if erased else None)

    def check(self) -> list[str]:
        """See Gallery: the file as it is on disk, and the cache against it."""
        if faults := self._store.faults():
            return faults
        pending = ["Forgotten Templates are still in the log: another process keeps a read open."]
        return self._cache_faults() + (pending if self._store.scrub_pending() else [])

    def stats(self) -> GalleryStats:
        """See Gallery. From the cache, in no time: the numbers that a search at this moment stands for."""
        current = self._current()
        return GalleryStats(
            len(current.subjects), len(current.ids), current.mark.version, self.space.space_id, dict(current.models)
        )

    def sources(self) -> dict[str, set[str]]:
        """SHA-256 of each photo enrolled -> the Subjects it was enrolled for."""
        owners: dict[str, set[str]] = {}
        for source, subject_id in self._store.sources():
            owners.setdefault(source, set()).add(subject_id)
        return owners

    def enrolled(self, subject_ids: Iterable[str]) -> set[str]:
        """Those of them that are Subjects here."""
        return {row.subject_id for row in self._current().subjects.values()} & set(subject_ids)

    def ends(self, most: int) -> Ends:
        """Of at most so many Subjects, evenly spread from the first enrolled to the last."""
        current = self._current()
        numbers, first = np.unique(current.owners, return_index=True)
        _, from_last = np.unique(current.owners[::-1], return_index=True)
        order = np.argsort(first)
        spread = np.linspace(0, len(order) - 1, min(len(order), most)).round().astype(np.int64)
        chosen = order[np.unique(spread)]
        return Ends(
            [current.subjects[int(number)].subject_id for number in numbers[chosen]],
            current.rows_of(current.ids[first[chosen]]),
            current.rows_of(current.ids[len(current.ids) - 1 - from_last[chosen]]),
        )

    def active_model(self) -> str | None:
        """The name or locator of the Model the service was last told to use."""
        return self._store.setting("active_model")

    def started_with(self) -> str | None:
        """The Model that the service had been started with when it was told; None when with none."""
        return self._store.setting("started_with") or None

    def set_active_model(self, reference: str, *, started_with: str | None = None) -> None:
        """Both are durable when it returns."""
        with self._store.atomic():
            self._store.put_setting("active_model", reference)
            self._store.put_setting("started_with", started_with or "")

    def thresholds(self, model_id: str) -> list[Threshold]:
        """Those that are kept for probes by this Model, the highest FPIR first; each says how old it is."""
        kept = self._store.setting(f"thresholds {model_id}")
        return [] if kept is None else _THRESHOLDS.validate_json(kept)

    def put_thresholds(self, thresholds: Sequence[Threshold]) -> None:
        """Keep them, each in place of the one of its Model and FPIR; durable on return."""
        for model_id in {threshold.model_id for threshold in thresholds}:
            kept = {threshold.fpir: threshold for threshold in self.thresholds(model_id)}
            kept |= {threshold.fpir: threshold for threshold in thresholds if threshold.model_id == model_id}
            falling = sorted(kept.values(), key=lambda threshold: -(threshold.fpir or 0.0))
            with self._store.atomic():
                self._store.put_setting(f"thresholds {model_id}", _THRESHOLDS.dump_json(falling).decode())

    def _valid(self, enrolment: Enrolment) -> Vectors:
        require_subject_id(enrolment.subject_id)
        if enrolment.name is not None:
            _require_text(enrolment.name, "name")
        if not enrolment.templates:
            raise NothingToEnrol("no Templates for Subject", enrolment.subject_id, "Give at least one.")
        for template in enrolment.templates:
            if np.shape(template.embedding) != (self.space.dim,):
                raise TemplatesInvalid(
                    "an embedding of the wrong shape",
                    np.shape(template.embedding),
                    f"This Space has ({self.space.dim},).",
                )
        return unit_rows(
            np.stack([template.embedding for template in enrolment.templates]), self.space.dim, TemplatesInvalid
        )

    def _write(self, enrolment: Enrolment, vectors: Vectors) -> list[int]:
        subject = self._store.put_subject(enrolment.subject_id, enrolment.name)
        return [
            self._store.add_template(subject, template.model_id, template.source, vector)
            for template, vector in zip(enrolment.templates, vectors, strict=True)
        ]

    def _current(self) -> Snapshot:
        """The Snapshot to answer from: up to date, or a moment old while another thread reads in what is new."""
        if self._refreshing.acquire(blocking=False):
            try:
                self._publish()
            finally:
                self._refreshing.release()
        return self._snapshot

    def _refresh(self) -> None:
        """Publish a Snapshot no older than what is committed now."""
        with self._refreshing:
            self._publish()

    def _publish(self) -> None:
        if self._store.version() == self._snapshot.mark.version:
            return
        after = self._snapshot.after(self._store.changes(self._snapshot.mark))
        if not set(np.unique(after.owners).tolist()) <= after.subjects.keys():
            raise GalleryCorrupt("Templates of a Subject that is not there", str(self.path), RESTORE)
        self._snapshot = after

    def _cache_faults(self) -> list[str]:
        current, truth = self._current(), empty(self.space.dim)
        truth = truth.after(self._store.changes(truth.mark))
        if truth.mark.version != current.mark.version:
            return []  # another process wrote in between: nothing can be said, and nothing is wrong
        held, stored = set(current.ids.tolist()), set(truth.ids.tolist())
        return (
            [f"Template {template} is not in the cache" for template in sorted(stored - held)]
            + [f"the cache holds Template {template}, which the store does not" for template in sorted(held - stored)]
            + [
                f"the cache holds Template {template} otherwise than the store"
                for template in _differing(current, truth)
            ]
        )


def unit_rows(rows: Vectors, dim: int, refusal: type[FacesError]) -> Vectors:
    """`rows` as contiguous float32 (n, dim). Raises `refusal` when they are no unit rows of that length."""
    with suppress(TypeError, ValueError):
        rows = np.ascontiguousarray(rows, dtype=np.float32)
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != dim:
        raise refusal("embeddings of the wrong shape", np.shape(rows), f"This Space has (n, {dim}).")
    off = np.abs(np.linalg.norm(rows, axis=1) - 1)
    wrong = np.flatnonzero(~(off <= _UNIT))  # NaN is not within, either
    if wrong.size:
        raise refusal("an embedding that is not of unit length, at row", int(wrong[0]), "Normalise it; look for NaN.")
    return rows


def require_subject_id(text: str) -> None:
    """Raises SubjectInvalid for what cannot be stored, or shown on one line."""
    _require_text(text, "subject id")


def _require_text(text: str, what: str) -> None:
    if not 0 < len(text) <= _LONGEST_NAME or text != text.strip() or _UNPRINTABLE.search(text):
        raise SubjectInvalid(
            f"not a {what}",
            text.encode("utf-8", "backslashreplace").decode() if what == "subject id" else len(text),
            f"Give 1 to {_LONGEST_NAME} characters on one line, without spaces around them.",
        )


_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def _differing(one: Snapshot, other: Snapshot) -> Iterable[int]:
    """Ids that both hold, with another Subject or other numbers."""
    shared = np.intersect1d(one.ids, other.ids)
    rows, others = np.searchsorted(one.ids, shared), np.searchsorted(other.ids, shared)
    alike = (one.owners[rows] == other.owners[others]) & (one.rows_of(shared) == other.rows_of(shared)).all(axis=1)
    differing: list[int] = shared[~alike].tolist()
    return differing
