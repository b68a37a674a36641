"""The gate: a new model and the present one search the gallery for the same labelled photos, and the floor decides."""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.errors import ProbesMissing, TrialUnknown
from app.probes import Probe, Searcher, Skipped
from app.swap import Active
from app.thresholds import Thresholds
from app.trial import Comparison, Floor, Trial, compare, doubts, faults
from faces.detect import Detects
from faces.image import ImageLimits
from faces.space import ModelCard
from index.gallery import LocalGallery

_MOST_HEARINGS: Final = 4
"""That may be under way at once; with another one, the oldest is given up."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """On a new model, against the one that answered when it was measured."""

    new: ModelCard
    old: ModelCard
    collection: str
    """In which both searched."""
    found: Comparison
    floor: Floor
    reasons: tuple[str, ...]
    """Why it must not take over."""
    doubts: tuple[str, ...]
    """What the probes were too few to tell."""
    date: str
    """ISO 8601."""

    @property
    def passed(self) -> bool:
        return not self.reasons


class Hearing:
    """One new model being measured against one old one: photos may come in several parts.

    No photo is kept, and whose they were no longer than it is under way.
    """

    def __init__(self, searcher: Searcher, thresholds: Thresholds, old: Active, new: Active) -> None:
        self.hearing_id: Final = uuid.uuid4().hex
        self.old, self.new = old, new
        self.gallery: Final = searcher.gallery
        self._searcher = searcher
        self._thresholds = thresholds
        self._lock = threading.Lock()
        self._trials: list[Trial] = []
        self._skipped: list[Skipped] = []

    def hear(self, probes: Sequence[Probe]) -> None:
        for found in self._searcher.tried(probes):
            with self._lock:
                if isinstance(found, Trial):
                    self._trials.append(found)
                else:
                    self._skipped.append(found)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """So far."""
        with self._lock:
            return tuple(self._skipped)

    def verdict(self, floor: Floor, date: str) -> Verdict:
        """As far as probes were heard, at the thresholds of now. Raises NotCalibrated."""
        with self._lock:
            trials = tuple(self._trials)
        old, new = (self._thresholds.deciding(self.gallery, model.card) for model in (self.old, self.new))
        found = compare(trials, old, new)
        reasons, unsure, where = tuple(faults(found, floor)), tuple(doubts(found, floor)), self.gallery.collection
        return Verdict(self.new.card, self.old.card, where, found, floor, reasons, unsure, date)


class Gatekeeper:
    """Hearings under way, and the last Verdict on each model in each collection. For any number of threads."""

    def __init__(
        self, thresholds: Thresholds, detector: Detects, limits: ImageLimits, clock: Callable[[], datetime]
    ) -> None:
        self._thresholds, self._detector, self._limits = thresholds, detector, limits
        self._clock = clock
        self._lock = threading.Lock()
        self._hearings: OrderedDict[str, Hearing] = OrderedDict()
        self._verdicts: dict[tuple[str, str, bool], Verdict] = {}
        """By model_id, collection, and whether on the stored probes; the newest last."""

    def open(self, gallery: LocalGallery, old: Active, new: Active) -> Hearing:
        """A new Hearing, in this collection. Raises SpaceMismatch."""
        gallery.require_space(new.card.space)
        searcher = Searcher(gallery, self._detector, self._limits, old, new)
        hearing = Hearing(searcher, self._thresholds, old, new)
        with self._lock:
            self._hearings[hearing.hearing_id] = hearing
            while len(self._hearings) > _MOST_HEARINGS:
                self._hearings.popitem(last=False)
        return hearing

    def find(self, hearing_id: str, gallery: LocalGallery, old: Active, new: Active) -> Hearing:
        """The Hearing under way between these two in this collection. Raises TrialUnknown when there is none."""
        with self._lock:
            hearing = self._hearings.get(hearing_id)
        here = hearing is not None and hearing.gallery.collection == gallery.collection
        if hearing is None or not here or hearing.new is not new or hearing.old is not old:
            raise TrialUnknown(
                "no such trial of this model against the present one", hearing_id,
                "It has ended, or a model changed meanwhile: send the photos again, from the first.",
            )  # fmt: skip
        return hearing

    def so_far(self, hearing: Hearing, floor: Floor) -> Verdict:
        return hearing.verdict(floor, self._clock().date().isoformat())

    def close(self, hearing: Hearing, floor: Floor, *, stored: bool) -> Verdict:
        """End the Hearing, and keep its Verdict. stored: it was on the service's probes; others are kept beside it.

        Raises ProbesMissing when no probe of an enrolled person was heard.
        """
        with self._lock:
            self._hearings.pop(hearing.hearing_id, None)
        verdict = self.so_far(hearing, floor)
        if not verdict.found.new.rank1.of:
            raise ProbesMissing(
                "photos that are a probe of somebody who is enrolled:", 0,
                _why(hearing.skipped) + "A folder, or what a file name has before the slash, is the subject id.",
            )  # fmt: skip
        key = verdict.new.model_id, verdict.collection, stored
        with self._lock:
            self._verdicts.pop(key, None)
            self._verdicts[key] = verdict
        return verdict

    def said(self, model: Active, active: Active) -> Verdict | None:
        """What is to be told of a model: the newest that refuses it, else the newest; against the active, if it was."""
        verdicts = self._on(model, active) or self._on(model)
        return next((each for each in reversed(verdicts) if not each.passed), verdicts[-1] if verdicts else None)

    def forget(self, loaded: Sequence[Active]) -> None:
        """Keep what is of these models alone."""
        ids = {model.card.model_id for model in loaded}
        with self._lock:
            for hearing in list(self._hearings.values()):
                if not {hearing.old.card.model_id, hearing.new.card.model_id} <= ids:
                    del self._hearings[hearing.hearing_id]
            self._verdicts = {key: kept for key, kept in self._verdicts.items() if key[0] in ids}

    def forget_collection(self, name: str) -> None:
        """That collection was deleted: one of the same name would be another."""
        with self._lock:
            for hearing in [each for each in self._hearings.values() if each.gallery.collection == name]:
                del self._hearings[hearing.hearing_id]
            self._verdicts = {key: kept for key, kept in self._verdicts.items() if key[1] != name}

    def _on(self, new: Active, old: Active | None = None) -> list[Verdict]:
        """The newest last. old: None: whatever it was measured against."""
        with self._lock:
            on = [kept for (model_id, *_), kept in self._verdicts.items() if model_id == new.card.model_id]
        return [verdict for verdict in on if old is None or verdict.old.model_id == old.card.model_id]


def _why(skipped: Sequence[Skipped]) -> str:
    return f"{len(skipped)} were skipped; the first, {skipped[0].name}: {skipped[0].detail} " if skipped else ""
