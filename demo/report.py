"""One table of what was seen, and whether it is what should be seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from rich.table import Table

from demo.answers import Answers
from demo.traffic import Traffic
from faces.models import Model

_LEAST_RIGHT: Final[Mapping[str, float]] = MappingProxyType({"teacher": 1.0, "student": 0.5})
"""The share of altered photos that must be named, by role: a small student may say "unknown" where its teacher is sure,
since its threshold is as strict. A wrong name is never accepted."""


@dataclass(frozen=True, slots=True)
class Row:
    """One model: its cost, what it answered about the altered photos, and about those of the person who was erased."""

    model: Model
    milliseconds: float
    enrolled: Answers
    erased: Answers


def table(rows: Sequence[Row], library_ms: float | None, swap: Traffic) -> Table:
    """A column a model, and one for the dlib library as a reference where it was measured."""
    drawn = Table("", title="One gallery, two models")
    columns = [_column(row, swap) for row in rows]
    if library_ms is not None:
        columns.append(("dlib library", *[""] * 2, f"{library_ms:.2f}", *[""] * 3))
    for heading, *_ in columns:
        drawn.add_column(heading, justify="right")
    for label, *cells in zip(_LABELS, *(cells for _, *cells in columns), strict=True):
        drawn.add_row(label, *cells)
    return drawn


_LABELS: Final = (
    "file, MB",
    "parameters",
    "ms a face",
    "altered, named right",
    "erased, unknown",
    "failed in the swap",
)


def _column(row: Row, swap: Traffic) -> tuple[str, ...]:
    """The heading, then a cell for each of _LABELS."""
    card = row.model.card
    return (
        f"{card.name} ({card.role})",
        f"{row.model.onnx.stat().st_size / 1e6:.1f}",
        f"{card.parameters:,}",
        f"{row.milliseconds:.2f}",
        row.enrolled.count("right"),
        row.erased.count("unknown"),
        f"{len(swap.failures)} of {swap.requests}",
    )


def shortfalls(rows: Sequence[Row], swap: Traffic) -> list[str]:
    """Every expectation that was not met, as a sentence; empty when all is well."""
    missed = [f"A request failed during the swap: {failure}" for failure in swap.failures]
    strangers = swap.answered.keys() - {row.model.card.name for row in rows}
    missed += [f"A model nobody asked for answered during the swap: {name}." for name in sorted(strangers)]
    for row in rows:
        name = row.model.card.name
        if not swap.answered[name]:
            missed.append(f"{name} answered nothing while the models were swapped.")
        for answers in (row.enrolled, row.erased):
            if answers.model != name:
                missed.append(f"{answers.model} answered where {name} should have.")
        for bad in ("wrong", "no face"):
            if row.enrolled.share(bad):
                missed.append(f"{name} answered {bad} for {row.enrolled.count(bad)} altered photos.")
        if row.enrolled.share("right") < _LEAST_RIGHT[row.model.card.role]:
            missed.append(f"{name} named {row.enrolled.count('right')} altered photos right.")
        if row.erased.share("unknown") < 1:
            missed.append(f"{name} answered unknown for {row.erased.count('unknown')} photos of the erased person.")
    return missed
