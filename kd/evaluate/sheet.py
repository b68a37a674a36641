"""What a table of a report is made of, before it is text, Markdown or HTML."""

import math
from dataclasses import dataclass
from typing import Final

from kd.evaluate.figures import AtThreshold, Figure, PairResult, SearchResult

Row = tuple["Shown", ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands in a table's cell: a figure and, apart from it, its interval."""

    text: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    title: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str


NONE: Final = Shown("–")


def which(search: SearchResult) -> Row:
    """The cells that name a gallery."""
    return (Shown(label(search)), Shown(f"{search.subjects:,}"))


def label(result: SearchResult | PairResult) -> str:
    """What a reader calls it: protocol and part."""
    return f"{result.protocol} {result.name}".strip()


def operating_point(at: AtThreshold | None) -> tuple[Shown, Shown]:
    """The rate, and the threshold that gives it."""
    return (NONE, NONE) if at is None else (shown(at.rate), shown(at.threshold, ".4f"))


def shown(figure: Figure | None, form: str = ".3f") -> Shown:
    """A figure with its interval; a dash where there is none."""
    if figure is None or math.isnan(figure.value):
        return NONE
    return Shown(f"{figure.value:{form}}", f"{figure.low:{form}} to {figure.high:{form}}")


def cosines(*values: float, form: str = ".4f") -> Row:
    """Figures without intervals."""
    return tuple(NONE if math.isnan(value) else Shown(f"{value:{form}}") for value in values)
