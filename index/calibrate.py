"""A threshold that is worth its name: for one gallery, one probe model and one FPIR. And the decision by it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faces.space import ModelCard
from index.errors import NotCalibrated
from index.gallery import LocalGallery, utc_now
from index.threshold import Threshold

ENOUGH_ALARMS: Final = 3.0
"""Fewer false alarms than this, expected in all trials, say nothing about an FPIR: with none in n trials the true rate
may still be 3/n (95 %)."""

_MOST_TRIALS: Final = 10_000  # at FPIR 0.01 a hundred false alarms: known to a fifth
_BATCH: Final = 1024  # probes; large enough for FAISS to multiply matrices
_ONE_LESS: Final = 1e-9  # 300 × 0.01 must not count as 2.999…


def calibrate(
    gallery: LocalGallery, card: ModelCard, fpir: float = 0.01, *, clock: Callable[[], datetime] = utc_now
) -> Threshold:
    """The threshold for probes by this Model in this gallery: from the gallery itself, else the card's.

    The gallery gives one when FPIR × Subjects is at least 3: every Subject's oldest Template is searched among all
    other Subjects, one trial a Subject, since photos of one person are not independent of each other. (Nor are two
    Subjects who are each other's nearest: the rate is known less well than that of n coin tosses.)

    Those Templates were made by the teacher. A student's probes score lower, non-mated ones too, so for a student the
    value is moved by what its card measured between S→T and T→T at this FPIR in one protocol; not when every Template
    is the student's own. A teacher's probes in a gallery with Templates of a student are taken as its own.

    Else the card's own threshold for this FPIR is taken, of the protocol with N nearest to the gallery's: T→T for a
    teacher, S→T for a student.
    Raises NotCalibrated when neither knows.
    """
    stats = gallery.stats()
    measured = _measured(card, stats.subjects, fpir)
    own_templates = card.role == "teacher" or set(stats.models) == {card.model_id}
    shift = 0.0 if own_templates else _shift(measured)
    if stats.subjects * fpir + _ONE_LESS >= ENOUGH_ALARMS and shift is not None:
        value = _quantile(_best_strangers(gallery), fpir) + shift
        return Threshold(value, fpir, stats.subjects, card.model_id, "gallery", clock().date().isoformat())
    if known := measured.get("T→T" if card.role == "teacher" else "S→T"):
        return Threshold(known.value, fpir, known.subjects, card.model_id, "card", card.created)
    raise NotCalibrated(
        f"no threshold for FPIR {fpir:g}: {stats.subjects} Subjects are too few, and the card of this model has none",
        card.model_id,
        f"Enrol at least {math.ceil(ENOUGH_ALARMS / fpir - _ONE_LESS)} Subjects, measure the model with kd evaluate, "
        "or give a --threshold.",
    )


def chosen(
    value: float, gallery: LocalGallery, card: ModelCard, *, clock: Callable[[], datetime] = utc_now
) -> Threshold:
    """A threshold that a user takes the responsibility for; it stands for no known FPIR."""
    return Threshold(value, None, gallery.stats().subjects, card.model_id, "user", clock().date().isoformat())


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a threshold table: the threshold, or why there is none."""

    fpir: float
    threshold: Threshold | None
    reason: str | None


def threshold_table(gallery: LocalGallery, card: ModelCard, fpirs: Sequence[float]) -> list[Row]:
    """`calibrate` at each FPIR."""
    return [_row(gallery, card, fpir) for fpir in fpirs]


def _row(gallery: LocalGallery, card: ModelCard, fpir: float) -> Row:
    try:
        return Row(fpir, calibrate(gallery, card, fpir), None)
    except NotCalibrated as error:
        return Row(fpir, None, str(error))


def _best_strangers(gallery: LocalGallery) -> NDArray[np.float64]:
    """The highest score that each Subject's oldest Template reaches with any other Subject; (trials,).

    Of a gallery of more than 10,000 Subjects that many are tried, evenly spread from the first enrolled to the last.
    """
    subjects, rows = gallery.oldest_templates()
    tried = np.unique(np.linspace(0, len(subjects) - 1, min(len(subjects), _MOST_TRIALS)).round().astype(np.int64))
    scores = []
    for start in range(0, len(tried), _BATCH):
        batch = tried[start : start + _BATCH]
        for own, candidates in zip(batch, gallery.search(rows[batch], 2, space=gallery.space), strict=True):
            scores += [found.score for found in candidates if found.subject_id != subjects[own]][:1]
    return np.array(scores)


def _quantile(scores: NDArray[np.float64], fpir: float) -> float:
    """The lowest threshold that no more than this share of scores reaches; as `kd evaluate` defines it."""
    allowed = math.floor(len(scores) * fpir + _ONE_LESS)
    return float(np.nextafter(np.sort(scores)[::-1][allowed], np.inf))


@dataclass(frozen=True, slots=True)
class _Measured:
    value: float
    subjects: int


def _measured(card: ModelCard, subjects: int, fpir: float) -> dict[str, _Measured]:
    """Cell of the 2×2 -> what the card says at this FPIR, in the protocol whose N is nearest to `subjects` in ratio."""
    protocols = [
        {
            str(cell): _Measured(value, measured.subjects)
            for cell, measured in grid.items()
            for key, value in measured.thresholds.items()
            if math.isclose(float(key), fpir)
        }
        for grid in card.measured.values()
    ]

    def distance(protocol: dict[str, _Measured]) -> float:
        return min(abs(math.log(max(known.subjects, 1) / max(subjects, 1))) for known in protocol.values())

    return min((protocol for protocol in protocols if protocol), key=distance, default={})


def _shift(measured: Mapping[str, _Measured]) -> float | None:
    """How much higher strangers score with the student's probes than with the teacher's, in the teacher's gallery."""
    if "S→T" not in measured or "T→T" not in measured:
        return None
    return measured["S→T"].value - measured["T→T"].value
