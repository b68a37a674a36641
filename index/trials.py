"""What a gallery answers about people whose names are known: the trials that thresholds are estimated from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from faces.embed import Vectors
from index.errors import SubjectUnknown
from index.gallery import LocalGallery
from index.tail import Floats, Numbers, Trials

MOST_TRIALS: Final = 10_000  # at FPIR 0.01 a hundred false alarms: known to a fifth
_MOST_MATES: Final = 2_000  # an FNIR of 0.1 known to a seventh
_BATCH: Final = 1024  # probes; large enough for FAISS to multiply matrices
_NONE: Final = -np.inf  # below every cosine


Advance = Callable[[int], None]
"""Told how many more searches are done."""


def quietly(_: int) -> None:
    """An Advance that nobody sees."""


@dataclass(frozen=True, slots=True, eq=False)
class Mates:
    """What probes of enrolled people scored."""

    own: Floats
    """(n,) with their own Subject; -inf where two others are nearer, which no threshold makes good."""
    others: Floats
    """(n,) with the nearest other Subject; -inf where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Labelled embeddings to try a gallery with."""

    people: tuple[str, ...]
    """(n,) whose each is: the subject id of those who are enrolled."""
    rows: Vectors
    """(n, dim) unit rows."""


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """To probes (n, dim), each of somebody."""

    own: Floats
    others: Floats
    nearest: list[str | None]
    """The Subject of `others`."""


def gallery_trials(gallery: LocalGallery, report_progress: Advance = quietly, most: int = MOST_TRIALS) -> Trials:
    """Every Subject's oldest Template against all other Subjects: one trial a Subject.

    One, since photos of one person are not independent of each other. Nor are two Subjects who are each other's
    nearest, as those with the highest scores mostly are: their score is one score, and they are one group.
    Of a gallery of more than `most` Subjects that many are tried, evenly spread from the first enrolled to the last.
    """
    ends = gallery.ends(most)
    answers = _ask(gallery, ends.subject_ids, ends.oldest, report_progress)
    known = np.isfinite(answers.others)
    groups = _mutual(ends.subject_ids, answers.nearest)
    return Trials(answers.others[known], groups[known], int(known.sum()))


def gallery_mates(gallery: LocalGallery, report_progress: Advance = quietly) -> Mates:
    """The newest Template of every Subject that has several, compared with its oldest and with all other Subjects.

    As if each had been enrolled with one photo, so with more of them fewer are missed. A copy of the oldest is no
    other photo and is left out. Of at most 2,000 Subjects.
    """
    ends = gallery.ends(_MOST_MATES)
    several = np.flatnonzero((ends.oldest != ends.newest).any(axis=1))
    oldest, newest = ends.oldest[several].astype(np.float64), ends.newest[several]
    answers = _ask(gallery, [ends.subject_ids[number] for number in several], newest, report_progress)
    return Mates(np.minimum((oldest * newest).sum(axis=1), 1.0), answers.others)


def probe_trials(gallery: LocalGallery, probes: Probes, report_progress: Advance = quietly) -> tuple[Trials, Mates]:
    """Every probe against all Subjects but its own; the photos of one person are one group. And those of the enrolled.

    For an enrolled person that is a search of a gallery in which she is not. Raises ProbesInvalid.
    """
    answers = _ask(gallery, probes.people, probes.rows, report_progress)
    _, person = np.unique(np.array(probes.people, dtype=str), return_inverse=True)
    known = np.isfinite(answers.others)
    enrolled = {name for name in set(probes.people) if _is_subject(gallery, name)}
    mated = np.array([name in enrolled for name in probes.people], dtype=bool)
    groups = person[known].astype(np.int64)
    return (
        Trials(answers.others[known], groups, len(np.unique(groups))),
        Mates(answers.own[mated], answers.others[mated]),
    )


def miss_rate(mates: Mates, threshold: float) -> float:
    """FNIR(N,T): the share of mated probes that are not answered with their Subject; NaN without any.

    Equal scores count against the Subject, as in `kd evaluate`.
    """
    if not len(mates.own):
        return float("nan")
    return float(np.mean((mates.own < threshold) | (mates.own <= mates.others)))


def _ask(gallery: LocalGallery, people: Sequence[str], rows: Vectors, report_progress: Advance) -> _Answers:
    """people: (n,) whose each row (n, dim) is. The best two Subjects of each are enough to tell."""
    own, others = np.full(len(rows), _NONE), np.full(len(rows), _NONE)
    nearest: list[str | None] = [None] * len(rows)
    for start in range(0, len(rows), _BATCH):
        found = gallery.search(rows[start : start + _BATCH], 2, space=gallery.space)
        for number, candidates in enumerate(found, start):
            for candidate in reversed(candidates):
                if candidate.subject_id == people[number]:
                    own[number] = candidate.score
                else:
                    others[number], nearest[number] = candidate.score, candidate.subject_id
        report_progress(len(found))
    return _Answers(own, others, nearest)


def _is_subject(gallery: LocalGallery, name: str) -> bool:
    try:
        gallery.subject(name)
    except SubjectUnknown:
        return False
    return True


def _mutual(subjects: Sequence[str], nearest: Sequence[str | None]) -> Numbers:
    """(n,): a number for each Subject, the same for two who are each other's nearest."""
    position = {subject: number for number, subject in enumerate(subjects)}
    near = np.array([position.get(other, -1) if other is not None else -1 for other in nearest], dtype=np.int64)
    alone = np.arange(len(near))
    mutual = (near >= 0) & (near[near] == alone)
    return np.where(mutual, np.minimum(alone, near), alone)
