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
    found: Comparison
    floor: Floor
    reasons: tuple[str, ...]
    """Why it must not take over."""
    doubts: tuple[str, ...]
    """What the probes were too few to tell."""
    skipped: tuple[Skipped, ...]
    date: str
    """ISO 8601."""

    @property
    def passed(self) -> bool:
        return not self.reasons


class Hearing:
    """One new model being measured against one old one: photos may come in several parts. No photo is kept."""

    def __init__(self, hearing_id: str, searcher: Searcher, old: Active, new: Active) -> None:
        self.hearing_id: Final = hearing_id
        self.old, self.new = old, new
        self._searcher = searcher
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

    def verdict(self, floor: Floor, date: str) -> Verdict:
        """As far as probes were heard, at the thresholds of now."""
        with self._lock:
            trials, skipped = tuple(self._trials), tuple(self._skipped)
        found = compare(trials, self.old.threshold, self.new.threshold)
        reasons, unsure = tuple(faults(found, floor)), tuple(doubts(found, floor))
        return Verdict(self.new.card, self.old.card, found, floor, reasons, unsure, skipped, date)


class Gatekeeper:
    """Hearings under way, and the last Verdict on each model. For any number of threads."""

    def __init__(
        self, gallery: LocalGallery, detector: Detects, limits: ImageLimits, clock: Callable[[], datetime]
    ) -> None:
        self._gallery, self._detector, self._limits = gallery, detector, limits
        self._clock = clock
        self._lock = threading.Lock()
        self._hearings: OrderedDict[str, Hearing] = OrderedDict()
        self._verdicts: dict[str, Verdict] = {}

    def open(self, old: Active, new: Active) -> Hearing:
        """A new Hearing."""
        searcher = Searcher(self._gallery, self._detector, self._limits, old, new)
        hearing = Hearing(uuid.uuid4().hex, searcher, old, new)
        with self._lock:
            self._hearings[hearing.hearing_id] = hearing
            while len(self._hearings) > _MOST_HEARINGS:
                self._hearings.popitem(last=False)
        return hearing

    def find(self, hearing_id: str, old: Active, new: Active) -> Hearing:
        """The Hearing under way between these two. Raises TrialUnknown when there is none."""
        with self._lock:
            hearing = self._hearings.get(hearing_id)
        if hearing is None or hearing.new is not new or hearing.old is not old:
            raise TrialUnknown(
                "no such trial of this model against the present one", hearing_id,
                "It has ended, or a model changed meanwhile: send the photos again, from the first.",
            )  # fmt: skip
        return hearing

    def so_far(self, hearing: Hearing, floor: Floor) -> Verdict:
        return hearing.verdict(floor, self._clock().date().isoformat())

    def close(self, hearing: Hearing, floor: Floor) -> Verdict:
        """End the Hearing, and keep its Verdict. Raises ProbesMissing when no probe of an enrolled person was heard."""
        with self._lock:
            self._hearings.pop(hearing.hearing_id, None)
        verdict = self.so_far(hearing, floor)
        if not verdict.found.new.rank1.of:
            raise ProbesMissing(
                "photos that are a probe of somebody who is enrolled:", 0,
                _why(verdict.skipped) + "A folder, or what a file name has before the slash, is the subject id.",
            )  # fmt: skip
        with self._lock:
            self._verdicts[verdict.new.model_id] = verdict
        return verdict

    def verdict(self, old: Active, new: Active) -> Verdict | None:
        """The last one on these two models."""
        with self._lock:
            verdict = self._verdicts.get(new.card.model_id)
        same = verdict is not None and verdict.old.model_id == old.card.model_id
        return verdict if same else None

    def last(self, model: Active) -> Verdict | None:
        """The last one on this model, whatever it was measured against."""
        with self._lock:
            return self._verdicts.get(model.card.model_id)

    def forget(self, loaded: Sequence[Active]) -> None:
        """Keep Verdicts on these models alone."""
        ids = {model.card.model_id for model in loaded}
        with self._lock:
            self._verdicts = {model_id: kept for model_id, kept in self._verdicts.items() if model_id in ids}


def _why(skipped: Sequence[Skipped]) -> str:
    return f"{len(skipped)} were skipped; the first, {skipped[0].name}: {skipped[0].detail} " if skipped else ""
