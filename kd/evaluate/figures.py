"""What an evaluation gives: figures with their intervals, and the curves that are drawn of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

CellName = Literal["T→T", "S→T", "S→S", "T→S"]
"""Probe model → gallery model."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure with its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """One operating point: a cosine, and the rate that is had there."""

    threshold: Figure
    rate: Figure


@dataclass(frozen=True, slots=True)
class Impostors:
    """Cosines of every probe with every enrolled template of somebody else."""

    mean: float
    deviation: float
    tail: float
    """The share of them above `quantile`: 1e-4, or as small as their number allows."""
    quantile: float


@dataclass(frozen=True, slots=True)
class SearchCurves:
    """Points to draw; equal indices belong together."""

    ranks: tuple[float, ...]
    """Share of mated probes found at rank 1, 2, …"""
    fpir: tuple[float, ...]
    fnir: tuple[float, ...]
    edges: tuple[float, ...]
    """Of the cosine's bins: one more than there are counts; the same in all cells."""
    mates: tuple[int, ...]
    """Mated probes by the score of their mate."""
    strangers: tuple[int, ...]
    """Non-mated probes by their best score."""


@dataclass(frozen=True, slots=True)
class SearchCell:
    """1:N with probes by one model in a gallery by another."""

    rank: Mapping[str, Figure]
    """k -> share of mated probes whose mate is among the k best."""
    fnir: Mapping[str, AtThreshold]
    """FPIR -> threshold and FNIR there."""
    impostors: Impostors
    curves: SearchCurves | None


@dataclass(frozen=True, slots=True)
class Transfer:
    """What the student really does at the threshold that the teacher's gallery has been run with."""

    threshold: float
    fpir: Figure
    fnir: Figure


@dataclass(frozen=True, slots=True)
class Shift:
    """How much higher impostors score with the student's probes than with the teacher's, in T's gallery."""

    mean: float
    deviation: float
    quantile: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The student beside its teacher, of rank 1; in each resample the same people are counted for both."""

    retention: Figure
    """S→T / T→T."""
    self_retention: Figure
    """S→S / T→T."""
    gain: Figure
    """S→T - S→S: what the teacher's gallery lends its student."""
    flips: Figure
    """Negative flips: the share of mated probes that the teacher finds and the student does not, in T's gallery.

    Source: Yan et al., Positive-congruent training, 2021, negative flip rate.
    """
    transfer: Mapping[str, Transfer]
    """FPIR that the teacher's threshold was set for -> what S→T has there."""
    shift: Shift


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One gallery of one protocol, probes at one resolution."""

    protocol: str
    name: str
    pixels: int | None
    subjects: int
    """N."""
    mated: int
    non_mated: int
    cells: Mapping[CellName, SearchCell]
    comparison: Comparison | None

    @property
    def key(self) -> str:
        """What a card calls it."""
        return "-".join(part for part in (self.protocol, self.name, str(self.subjects)) if part)


@dataclass(frozen=True, slots=True)
class PairCurves:
    far: tuple[float, ...]
    tar: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PairCell:
    accuracy: Figure | None
    tar: Mapping[str, AtThreshold]
    """FAR -> threshold and TAR there; only those that the number of impostor pairs can tell."""
    curves: PairCurves | None


@dataclass(frozen=True, slots=True)
class PairResult:
    """1:1 of one protocol, the left side at one resolution."""

    protocol: str
    name: str
    pixels: int | None
    genuine: int
    impostor: int
    cells: Mapping[CellName, PairCell]

    @property
    def key(self) -> str:
        return "-".join(part for part in (self.protocol, self.name, "pairs") if part)


@dataclass(frozen=True, slots=True)
class Judged:
    """A Model that took part."""

    name: str
    model_id: str
    parameters: int


@dataclass(frozen=True, slots=True)
class Report:
    teacher: Judged
    student: Judged | None
    resamples: int
    seed: int
    photos: int
    failed: Mapping[str, str]
    """Photo -> why it gave no embedding; it stays in every rate, as a miss."""
    pairs: tuple[PairResult, ...]
    searches: tuple[SearchResult, ...]

    @property
    def whole_pairs(self) -> list[PairResult]:
        """Those whose probes were shown as the photos are."""
        return [one for one in self.pairs if one.pixels is None]

    @property
    def whole_searches(self) -> list[SearchResult]:
        return [one for one in self.searches if one.pixels is None]
