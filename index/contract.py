"""What every kind of gallery does, and the words it speaks: Templates in, Candidates out."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

import numpy as np

from faces.embed import Vectors
from faces.errors import FacesError
from faces.space import Space
from index.errors import SubjectInvalid

_UNIT: Final = 1e-3  # how far from 1 the length of a unit row may be: fp16 stays within
_LONGEST_NAME: Final = 500  # characters
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One embedding of one photo, to be enrolled."""

    embedding: Vectors
    """(dim,) float32, unit length."""
    model_id: str
    """The Model that made it."""
    source: str = ""
    """SHA-256 of the photo's bytes, in hex; empty when unknown."""
    quality: tuple[str, ...] = ()
    """Reasons to distrust the photo, as in `faces.quality`."""


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
class SubjectDetails:
    """What is known of a Subject beside its name."""

    external_id: str = ""
    """Its id in another system."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Whatever JSON can hold."""
    consent: str = ""
    """A reference to the consent given."""
    purpose: str = ""
    """What the Templates may be used for."""


@dataclass(frozen=True, slots=True)
class Subject:
    subject_id: str
    name: str
    details: SubjectDetails
    expires: str | None
    """ISO 8601, UTC: from then on it is to be forgotten. None: never."""
    created: str
    """ISO 8601, UTC; empty when unknown."""
    templates: int


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    """A Template without its embedding."""

    template_id: int
    model_id: str
    source: str
    quality: tuple[str, ...]
    created: str
    """ISO 8601, UTC; empty when unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """The first and the last that was enrolled of some Subjects, in the order in which these were."""

    subject_ids: list[str]
    oldest: Vectors
    """(n, dim) one Template a Subject, of unit length."""
    newest: Vectors
    """(n, dim) equal to the oldest where a Subject has one Template."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A Subject, or a Template, was forgotten: in no answer from `hidden_at` on, its bytes in no file from `erased_at`.

    `erased_at` None: another process's open read keeps the old pages in the log, or a backup could not be opened.
    `check` says so until they are gone; opening the gallery and forgetting again try once more. Times are ISO 8601,
    UTC.
    """

    subject_id: str
    templates: int
    hidden_at: str
    erased_at: str | None
    left_in: tuple[str, ...] = ()
    """Backups beside the store that the Subject could not be removed from, each with the reason."""


Search = Literal["exact", "approximate"]


@dataclass(frozen=True, slots=True)
class GalleryStats:
    subjects: int
    templates: int
    version: int
    """Rises with every committed write."""
    space_id: str
    models: dict[str, int]
    """Templates by the model_id that made them."""
    search: Search = "exact"
    """approximate: somebody may be missed; scores and their order are right all the same."""


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


def utc_now() -> datetime:
    return datetime.now(UTC)


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
    require_text(text, "subject id")


def require_text(text: str, what: str, refusal: type[FacesError] = SubjectInvalid) -> None:
    """1 to 500 characters on one line. Raises `refusal`; it shows an id, of a name its length alone."""
    if not 0 < len(text) <= _LONGEST_NAME or text != text.strip() or _UNPRINTABLE.search(text):
        raise refusal(
            f"not a {what}",
            len(text) if what == "name" else text.encode("utf-8", "backslashreplace").decode(),
            f"Give 1 to {_LONGEST_NAME} characters on one line, without spaces around them.",
        )
