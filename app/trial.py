"""Is a new model good enough to take over? What is measured, and what is judged by it. Every function here is pure.

A Trial is one probe that both models have searched for in the same gallery. docs/decisions/0017 says why the floor is
what it is.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Self

from app.intervals import Difference, Share, difference, share
from index.gallery import Candidate
from index.threshold import Threshold, decide


@dataclass(frozen=True, slots=True)
class Trial:
    """A probe, and what either model found for it, best first."""

    person: str
    """Whose photo it is: probes of one person are not independent of each other."""
    subject_id: str | None
    """None: not enrolled, so non-mated."""
    old: Sequence[Candidate]
    new: Sequence[Candidate]


@dataclass(frozen=True, slots=True)
class Floor:
    """What a new model has to reach."""

    fnir: float = 0.05
    """By how much its FNIR may be above that of the present model."""
    kept: float = 0.9
    """Of the mated probes that the present model ranks right, the share that the new one must rank right too."""

    @classmethod
    def parse(cls, text: str, default: "Floor | None" = None) -> Self:
        """`fnir=0.05,kept=0.9`; what is not named is as in `default`. Raises ValueError."""
        known = {field.name for field in fields(cls)}
        floor = cls() if default is None else replace(default)
        given: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, number = part.partition("=")
            if name not in known:
                raise ValueError(f"{name!r} is none of {', '.join(sorted(known))}")
            given[name] = float(number)
            if not 0 <= given[name] <= 1:
                raise ValueError(f"{name} is not within 0 to 1")
        return cls(**{field.name: given.get(field.name, getattr(floor, field.name)) for field in fields(cls)})

    def __str__(self) -> str:
        return ",".join(f"{field.name}={getattr(self, field.name):g}" for field in fields(self))


@dataclass(frozen=True, slots=True)
class Side:
    """One model, at its own threshold."""

    threshold: Threshold
    rank1: Share
    """Of mated probes: the nearest Subject is theirs."""
    fnir: Share
    """Of mated probes: not answered with their Subject."""
    fpir: Share
    """Of non-mated probes: answered with somebody. What the threshold promises is `threshold.fpir`."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both models on the same probes."""

    old: Side
    new: Side
    agreement: Share
    """Of mated probes: both models have the same nearest Subject, right or wrong."""
    kept: Share
    """Of the mated probes that the old model ranks right: the new one does too."""
    alike: Share
    """Of all probes: both models decide the same."""
    rise: Difference
    """Of the FNIR."""


def compare(trials: Iterable[Trial], old: Threshold, new: Threshold) -> Comparison:
    """The new model against the old one, each at its own threshold."""
    tried = list(trials)
    mated = [trial for trial in tried if trial.subject_id is not None]
    strangers = [trial for trial in tried if trial.subject_id is None]
    ranked_right = [trial for trial in mated if _nearest(trial.old) == trial.subject_id]
    missed_before = _marks(mated, lambda trial: _decided(trial.old, old) != trial.subject_id)
    missed_now = _marks(mated, lambda trial: _decided(trial.new, new) != trial.subject_id)
    return Comparison(
        old=_side(mated, strangers, old, lambda trial: trial.old),
        new=_side(mated, strangers, new, lambda trial: trial.new),
        agreement=_share(mated, lambda trial: _nearest(trial.old) == _nearest(trial.new)),
        kept=_share(ranked_right, lambda trial: _nearest(trial.new) == trial.subject_id),
        alike=_share(tried, lambda trial: _decided(trial.old, old) == _decided(trial.new, new)),
        rise=difference(missed_before, missed_now, _people(mated)),
    )


def faults(found: Comparison, floor: Floor) -> list[str]:
    """Why the new model must not take over, as sentences; empty when it may.

    A rate is held against the floor as it was counted, and its interval against doubt (`doubts`): probes too few to
    tell do not refuse a model. False alarms are the exception, since they are so few: a model is refused for them only
    when it has more of them than the old one, and certainly more than its threshold promises.
    """
    reasons = []
    if found.rise.value is not None and found.rise.value > floor.fnir + _ROUNDING:
        reasons.append(f"FNIR rises by {found.rise.value:.3f}, and may by {floor.fnir:g}")
    if found.kept.value is not None and found.kept.value < floor.kept - _ROUNDING:
        reasons.append(
            f"of what the present model ranks first rightly, {found.kept.value:.3f} is kept, and {floor.kept:g} must be"
        )
    seen, promised = found.new.fpir, _promised(found)
    if seen.low is not None and promised is not None and seen.low > promised and seen.count > found.old.fpir.count:
        reasons.append(f"of non-mated probes {seen.value:.3f} are answered with somebody, and {promised:g} should be")
    return reasons


def doubts(found: Comparison, floor: Floor) -> list[str]:
    """What the probes are too few to tell, as sentences."""
    notes = []
    if found.rise.high is not None and found.rise.high > floor.fnir and (found.rise.value or 0) <= floor.fnir:
        notes.append(f"FNIR may rise by as much as {found.rise.high:.3f} (95 %): {found.new.fnir.people} mated people")
    if found.kept.low is not None and found.kept.low < floor.kept <= (found.kept.value or 0):
        notes.append(f"it may be that only {found.kept.low:.3f} is kept (95 %): {found.kept.people} mated people")
    promised = _promised(found)
    if not found.new.fpir.of:
        notes.append("no non-mated probes: false alarms were not looked at")
    elif promised is not None and found.new.fpir.people * promised < _ENOUGH_ALARMS:
        needed = math.ceil(_ENOUGH_ALARMS / promised - _ROUNDING) if promised else "more"
        notes.append(f"{found.new.fpir.people} non-mated people do not show an FPIR of {promised:g}; {needed} would")
    return notes


_ROUNDING: Final = 1e-9  # 19/20 - 18/20 must not count as more than 0.05
_ENOUGH_ALARMS: Final = 3  # with none in n trials the true rate may still be 3/n (95 %)


def _promised(found: Comparison) -> float | None:
    """The FPIR that the new model's threshold stands for; where it stands for none, that of the old model's answers."""
    return found.old.fpir.value if found.new.threshold.fpir is None else found.new.threshold.fpir


def _side(
    mated: Sequence[Trial],
    strangers: Sequence[Trial],
    threshold: Threshold,
    found: Callable[[Trial], Sequence[Candidate]],
) -> Side:
    return Side(
        threshold,
        rank1=_share(mated, lambda trial: _nearest(found(trial)) == trial.subject_id),
        fnir=_share(mated, lambda trial: _decided(found(trial), threshold) != trial.subject_id),
        fpir=_share(strangers, lambda trial: _decided(found(trial), threshold) is not None),
    )


def _nearest(candidates: Sequence[Candidate]) -> str | None:
    return candidates[0].subject_id if candidates else None


def _decided(candidates: Sequence[Candidate], threshold: Threshold) -> str | None:
    return decide(candidates, threshold).subject_id


def _share(trials: Sequence[Trial], holds: Callable[[Trial], bool]) -> Share:
    return share(_marks(trials, holds), _people(trials))


def _marks(trials: Sequence[Trial], holds: Callable[[Trial], bool]) -> list[bool]:
    return [holds(trial) for trial in trials]


def _people(trials: Sequence[Trial]) -> list[str]:
    return [trial.person for trial in trials]
