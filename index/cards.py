"""What a ModelCard knows about thresholds: those that its protocols measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from faces.space import ModelCard


@dataclass(frozen=True, slots=True)
class Measured:
    value: float
    subjects: int


def measured(card: ModelCard, subjects: int, fpir: float) -> dict[str, Measured]:
    """Cell of the 2×2 -> what the card says at this FPIR, in the protocol whose N is nearest to `subjects` in ratio."""
    protocols = [
        {
            str(cell): Measured(value, found.subjects)
            for cell, found in grid.items()
            for key, value in found.thresholds.items()
            if math.isclose(float(key), fpir)
        }
        for grid in card.measured.values()
    ]

    def distance(protocol: dict[str, Measured]) -> float:
        return min(abs(math.log(max(known.subjects, 1) / max(subjects, 1))) for known in protocol.values())

    return min((protocol for protocol in protocols if protocol), key=distance, default={})


def shift(known: Mapping[str, Measured]) -> float | None:
    """How much higher strangers score with the student's probes than with the teacher's, in the teacher's gallery."""
    if "S→T" not in known or "T→T" not in known:
        return None
    return known["S→T"].value - known["T→T"].value
