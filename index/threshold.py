"""The score that is a match, what it stands for, and the decision by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from index.contract import Candidate

Source = Literal["gallery", "probes", "card", "user"]
FROM: Final[Mapping[Source, str]] = MappingProxyType(
    {"gallery": "this gallery", "probes": "your probes", "card": "the model's card", "user": "you"}
)
"""What a threshold comes from, to a reader."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The lowest score that is a match, and what it stands for."""

    value: float
    """Cosine."""
    fpir: float | None
    """The share of non-enrolled probes that would be answered with somebody; None when a user chose the value."""
    subjects: int
    """The N at which it holds: FPIR grows with N."""
    model_id: str
    """Of the probe model."""
    calibrated_on: Source
    """What it was measured on: this gallery's own Templates, probes that were given, or the card's protocol."""
    date: str
    """ISO 8601: when it was measured, or chosen."""
    low: float | None = None
    high: float | None = None
    """95 % of what `value` might have been with other people; None where nothing was resampled."""
    trials: int | None = None
    """The people that were searched for, each a stranger to those they were compared with; None: not measured here."""
    extrapolated: bool = False
    """The trials are too few to show this FPIR, and the tail of their scores was continued beyond them."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`subject_id` None: unknown."""

    subject_id: str | None
    threshold: Threshold


def decide(candidates: Sequence[Candidate], threshold: Threshold) -> Decision:
    """The best Candidate at or over the threshold; equal scores go to the older Template.

    Passed over: a Candidate to whose negative examples the probe is as near as to its Templates, or nearer.
    """
    over = (
        candidate
        for candidate in candidates
        if candidate.score >= threshold.value and not spoken_against(candidate.score, candidate.negative)
    )
    best = min(over, key=lambda candidate: (-candidate.score, candidate.template_id), default=None)
    return Decision(best.subject_id if best else None, threshold)


def spoken_against(score: float, negative: float | None) -> bool:
    """Whether the probe is as near to a negative example as this score, or nearer; None: there is no example."""
    return negative is not None and negative >= score
