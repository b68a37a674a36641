"""A threshold that is worth its name: for one gallery, one probe model and one FPIR."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Final

from faces.space import ModelCard
from index.cards import measured, shift
from index.errors import GalleryBusy, GalleryUnavailable, NotCalibrated
from index.gallery import LocalGallery, utc_now
from index.tail import FARTHEST, Trials, estimate, rate_at, threshold_at, trials_needed
from index.threshold import Source, Threshold
from index.trials import (
    MOST_TRIALS,
    Advance,
    Mates,
    Probes,
    gallery_mates,
    gallery_trials,
    miss_rate,
    probe_trials,
    quietly,
)

FPIRS: Final = (0.1, 0.01, 0.001)

_SOON: Final = 5_000  # trials where somebody waits for an answer: two seconds among 100,000 Subjects

_STALE_FROM: Final = 1.5  # times the Subjects, or as many times fewer


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a threshold table: the threshold, or why there is none; with both, what is wrong with it."""

    fpir: float
    threshold: Threshold | None
    reason: str | None = None
    fnir: float | None = None
    """The share of enrolled people's probes that are missed at this threshold; None where nothing tells."""
    mated: int = 0
    """The probes that `fnir` rests on."""


class Calibration:
    """Thresholds for probes by one Model in one gallery: from probes where given, else from the gallery, else the card.

    **From probes**: each is searched for among all Subjects but its own.

    **From the gallery**: so is the oldest Template of each Subject. Those Templates were made by the teacher. A
    student's probes score lower, non-mated ones too, so for a student the value is moved by what its card measured
    between S→T and T→T at this FPIR in one protocol; not when every Template is the student's own. (The interval does
    not know how well the card knows that.) A teacher's probes in a gallery with Templates of a student are taken as
    its own.

    **From the card**, where the gallery has too few Subjects: its own threshold for this FPIR, of the protocol with N
    nearest to the gallery's; T→T for a teacher, S→T for a student.

    most_trials: of the gallery's people. How many are too few: `index.tail.trials_needed`. What thresholds rest on is
    measured once: an object stands for one moment of the gallery. `report_progress` is called with the number of
    searches done. Raises ProbesInvalid.
    """

    def __init__(
        self,
        gallery: LocalGallery,
        card: ModelCard,
        probes: Probes | None = None,
        *,
        most_trials: int = MOST_TRIALS,
        clock: Callable[[], datetime] = utc_now,
        report_progress: Advance = quietly,
    ) -> None:
        self._gallery, self._card, self._clock, self._report_progress = gallery, card, clock, report_progress
        self._most_trials = most_trials
        self._stats = gallery.stats()
        self._tried = None if probes is None else probe_trials(gallery, probes, report_progress)

    @property
    def subjects(self) -> int:
        """N."""
        return self._stats.subjects

    @cached_property
    def trials(self) -> Trials:
        """What strangers score: with this Model's probes where such were given, else with the Templates' model."""
        if self._tried is not None:
            return self._tried[0]
        return gallery_trials(self._gallery, self._report_progress, self._most_trials)

    @cached_property
    def mates(self) -> Mates | None:
        """What this Model's probes of enrolled people score; None where the gallery has Templates of another alone."""
        if self._tried is not None:
            return self._tried[1]
        return gallery_mates(self._gallery, self._report_progress) if self.own_templates else None

    @property
    def own_templates(self) -> bool:
        """Whether Templates score as this Model's probes do."""
        return self._card.role == "teacher" or set(self._stats.models) == {self._card.model_id}

    def threshold(self, fpir: float) -> Threshold:
        """Raises NotCalibrated when there is too little of everything."""
        return self._from_gallery_or_card(fpir) if self._tried is None else self._from_probes(fpir)

    def table(self, fpirs: Sequence[float] = FPIRS) -> list[Row]:
        """The threshold of each FPIR, or the reason why there is none, and what is missed at it."""
        return [self._row(fpir) for fpir in fpirs]

    def moved(self, known: Threshold, fpir: float) -> Threshold | None:
        """A threshold that stood for this FPIR at another N, for this one; None where the gallery cannot tell.

        `known` keeps its height, which probes gave. The gallery's own trials give the way from there: from the score
        that they reach at the FPIR which `known` has come to stand for, to the score at `fpir`.
        """
        come_to = rate_at(fpir, known.subjects / max(self.subjects, 1))
        if not self._enough(max(trials_needed(fpir), trials_needed(come_to))):
            return None
        way = threshold_at(self.trials, fpir) - threshold_at(self.trials, come_to)
        return replace(_higher(known, way), subjects=self.subjects, date=self._today, extrapolated=True)

    def _enough(self, needed: int) -> bool:
        """Whether so many people can be tried; nobody is when it is plain that they cannot."""
        return min(self.subjects, self._most_trials) >= needed and self.trials.people >= needed

    @property
    def _today(self) -> str:
        return self._clock().date().isoformat()

    def _row(self, fpir: float) -> Row:
        try:
            found = self.threshold(fpir)
        except NotCalibrated as error:
            return Row(fpir, None, str(error))
        if self.mates is None or not len(self.mates.own):
            return Row(fpir, found)
        return Row(fpir, found, fnir=miss_rate(self.mates, found.value), mated=len(self.mates.own))

    def _from_probes(self, fpir: float) -> Threshold:
        needed = trials_needed(fpir)
        if self.trials.people < needed:
            raise NotCalibrated(
                f"no threshold for FPIR {fpir:g}: the probes are of too few people",
                self.trials.people,
                f"Give probes of at least {needed}.",
            )
        return self._estimated(fpir, "probes")

    def _from_gallery_or_card(self, fpir: float) -> Threshold:
        known, needed = measured(self._card, self.subjects, fpir), trials_needed(fpir)
        way = 0.0 if self.own_templates else shift(known)
        enough = self._enough(needed)
        if enough and way is not None:
            return _higher(self._estimated(fpir, "gallery"), way)
        if own := known.get("T→T" if self._card.role == "teacher" else "S→T"):
            return Threshold(own.value, fpir, own.subjects, self._card.model_id, "card", self._card.created)
        lacking = "the Templates are the teacher's" if enough else f"{self.subjects} Subjects are too few"
        more = "Measure" if enough else f"Enrol at least {needed} Subjects, measure"
        raise NotCalibrated(
            f"no threshold for FPIR {fpir:g}: {lacking}, and the card of this model has none",
            self._card.model_id,
            f"{more} the model with kd evaluate, give index calibrate --probes of at least {needed} people, "
            "or give a --threshold.",
        )

    def _estimated(self, fpir: float, source: Source) -> Threshold:
        found = estimate(self.trials, fpir)
        return Threshold(
            found.value,
            fpir,
            self.subjects,
            self._card.model_id,
            source,
            self._today,
            found.low,
            found.high,
            self.trials.people,
            found.extrapolated,
        )


def calibrate(
    gallery: LocalGallery, card: ModelCard, fpir: float = 0.01, *, clock: Callable[[], datetime] = utc_now
) -> Threshold:
    """The threshold for probes by this Model in this gallery, without probes: see Calibration. Raises NotCalibrated."""
    return Calibration(gallery, card, clock=clock).threshold(fpir)


def chosen(
    value: float, gallery: LocalGallery, card: ModelCard, *, clock: Callable[[], datetime] = utc_now
) -> Threshold:
    """A threshold that a user takes the responsibility for; it stands for no known FPIR."""
    return Threshold(value, None, gallery.stats().subjects, card.model_id, "user", clock().date().isoformat())


def current_threshold(
    gallery: LocalGallery, card: ModelCard, fpir: float, *, clock: Callable[[], datetime] = utc_now
) -> Threshold:
    """`current_thresholds` at one FPIR. Raises NotCalibrated where there is none."""
    (row,) = current_thresholds(gallery, card, [fpir], clock=clock)
    return row.threshold or calibrate(gallery, card, fpir, clock=clock)  # which says why not


def current_thresholds(
    gallery: LocalGallery,
    card: ModelCard,
    fpirs: Sequence[float] = FPIRS,
    *,
    clock: Callable[[], datetime] = utc_now,
) -> list[Row]:
    """The thresholds that are stored for this Model; calibrated and stored anew where there is none, or a stale one.

    A stale one that was measured on probes, which are not at hand now, is moved to the new N for this time. Where the
    gallery is too small to tell how far, it stays in use with the reason to distrust it. Both up to ten times its N.
    """
    calibration = Calibration(gallery, card, most_trials=_SOON, clock=clock)
    stored = gallery.thresholds(card.model_id)
    rows = [_current(calibration, _of(stored, fpir), fpir) for fpir in fpirs]
    found = [row.threshold for row in rows if row.threshold and row.threshold.calibrated_on == "gallery"]
    if fresh := [threshold for threshold in found if threshold not in stored]:
        with suppress(GalleryUnavailable, GalleryBusy):  # a file that cannot be written to is measured every time
            gallery.put_thresholds(fresh)
    return rows


def measured_here(table: Sequence[Row]) -> list[Threshold]:
    """Those to store: what a card says is on the card already."""
    found = [row.threshold for row in table if row.threshold is not None]
    return [threshold for threshold in found if threshold.calibrated_on in ("gallery", "probes")]


def is_stale(threshold: Threshold, subjects: int) -> bool:
    """Whether a gallery that has so many Subjects now has grown by half since, or shrunk to match."""
    return outgrown(threshold.subjects, subjects)


def outgrown(then: int, now: int) -> bool:
    """Whether so many Subjects are half as many again as there were then, or as few to match."""
    return then != now and not 1 / _STALE_FROM < now / max(then, 1) < _STALE_FROM


def _current(calibration: Calibration, known: Threshold | None, fpir: float) -> Row:
    if known and not is_stale(known, calibration.subjects):
        return Row(fpir, known)
    if known and known.calibrated_on == "probes" and calibration.subjects <= FARTHEST * known.subjects:
        if moved := calibration.moved(known, fpir):
            return Row(fpir, moved)
        return Row(
            fpir, known, f"measured at {known.subjects} Subjects, now {calibration.subjects}: give --probes again"
        )
    try:
        return Row(fpir, calibration.threshold(fpir))
    except NotCalibrated as error:
        return Row(fpir, None, str(error))


def _of(stored: Sequence[Threshold], fpir: float) -> Threshold | None:
    return next((one for one in stored if one.fpir is not None and math.isclose(one.fpir, fpir)), None)


def _higher(threshold: Threshold, way: float) -> Threshold:
    """Moved up by so much, interval and all."""
    low = None if threshold.low is None else threshold.low + way
    high = None if threshold.high is None else threshold.high + way
    return replace(threshold, value=threshold.value + way, low=low, high=high)
