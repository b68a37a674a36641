"""What the outcomes of all runs say together: means, spreads, and sentences that follow from them alone."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final

from faces.space import Cell
from kd.compare.outcome import Outcome
from kd.compare.plan import Rival
from kd.evaluate.figures import CellName

REGRESSIONS: Final = frozenset({"l2", "cosine"})
_CLEAR: Final = 2.0  # standard deviations from which one method is said to beat another


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """NaN where there is none."""
        return fmean(self.values) if self.values else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of a sample; NaN for fewer than two."""
        return stdev(self.values) if len(self.values) > 1 else math.nan

    def __str__(self) -> str:
        if not self.values:
            return "–"
        return f"{self.mean:.3f}" if math.isnan(self.deviation) else f"{self.mean:.3f} ± {self.deviation:.3f}"


@dataclass(frozen=True, slots=True)
class Row:
    """A rival with what its runs came to so far."""

    rival: Rival
    outcomes: Mapping[int, Outcome]
    """By seed."""

    @property
    def done(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes.values() if outcome.failed is None]

    @property
    def failed(self) -> dict[int, str]:
        """Seed -> why there are no figures."""
        return {seed: outcome.failed for seed, outcome in self.outcomes.items() if outcome.failed is not None}

    def figure(self, search: str, cell: CellName, take: Callable[[Cell], float | None]) -> Spread:
        """One figure of a cell, over the seeds that are done and have it."""
        found = [take(outcome.grids[search][cell]) for outcome in self.done]
        return Spread(tuple(value for value in found if value is not None))

    def rank1(self, search: str, cell: CellName = "S→T") -> Spread:
        return self.figure(search, cell, lambda one: one.rank1)

    def retention(self, search: str, cell: CellName = "S→T") -> Spread:
        """Rank 1 divided by T→T's; none where the teacher finds nobody."""
        grids = [outcome.grids[search] for outcome in self.done]
        return Spread(tuple(grid[cell].rank1 / grid["T→T"].rank1 for grid in grids if grid["T→T"].rank1 > 0))

    @property
    def seconds(self) -> Spread:
        """For 1,000 views."""
        return Spread(tuple(outcome.seconds for outcome in self.done))


@dataclass(frozen=True, slots=True)
class Standings:
    rows: tuple[Row, ...]

    @property
    def teacher(self) -> Mapping[str, Cell]:
        """T→T of each search, by its key; none before the first run is done."""
        for row in self.rows:
            for outcome in row.done:
                return {search: grid["T→T"] for search, grid in outcome.grids.items()}
        return {}

    @property
    def failed(self) -> int:
        """How many runs came to nothing."""
        return sum(len(row.failed) for row in self.rows)

    def ranked(self, search: str, among: Callable[[Rival], bool] = lambda _: True) -> list[Row]:
        """Rivals that have figures, by mean S→T rank 1, the best first."""
        rows = [row for row in self.rows if row.done and among(row.rival)]
        return sorted(rows, key=lambda row: -row.rank1(search).mean)


def apart(one: Spread, other: Spread) -> float:
    """By how many standard deviations `one` is above `other`: difference of means over the two's pooled spread.

    NaN where either has no spread, or both have none to speak of.
    """
    pooled = math.sqrt((one.deviation**2 + other.deviation**2) / 2)
    return (one.mean - other.mean) / pooled if pooled > 0 else math.nan


def findings(standings: Standings) -> list[str]:
    """What the table says about each search: who is best, proxyless against L2, and a hybrid against both."""
    return [
        sentence
        for search, cell in standings.teacher.items()
        for sentence in (
            _best(standings, search, cell.subjects),
            _proxyless_or_l2(standings, search, cell.subjects),
            _hybrid(standings, search, cell.subjects),
        )
        if sentence is not None
    ]


def _best(standings: Standings, search: str, subjects: int) -> str | None:
    match standings.ranked(search):
        case [first, second, *_]:
            ours, theirs = first.rank1(search), second.rank1(search)
            distance = apart(ours, theirs)
            by = f"{distance:.1f} standard deviations above" if math.isfinite(distance) else "above"
            return (
                f"N = {subjects:,}: {first.rival.label} is best at searching the teacher's gallery, rank-1 {ours}, "
                f"{by} {second.rival.label}, {theirs}."
            )
    return None


def _proxyless_or_l2(standings: Standings, search: str, subjects: int) -> str | None:
    proxyless, l2 = (standings.ranked(search, _only(name))[:1] for name in ("proxyless", "l2"))
    if not (proxyless and l2):
        return None
    return f"N = {subjects:,}: {_verdict(proxyless[0], l2[0], search)}."


def _hybrid(standings: Standings, search: str, subjects: int) -> str | None:
    single = standings.ranked(search, lambda rival: any(_only(name)(rival) for name in ("proxyless", "l2")))
    hybrid = standings.ranked(search, _is_hybrid)[:1]
    if len(single) < 2 or not hybrid:
        return None
    return f"N = {subjects:,}: the best hybrid, {_verdict(hybrid[0], single[0], search)}, the better of the two."


def _verdict(one: Row, other: Row, search: str) -> str:
    """`X (0.512 ± 0.003) beats Y (0.498 ± 0.004) by 3.9 standard deviations`, or what is true instead."""
    ours, theirs = one.rank1(search), other.rank1(search)
    distance = apart(ours, theirs)
    word = next(word for least, word in _WORDS if math.isnan(distance) or distance >= least)
    if math.isnan(distance):
        word = "is ahead of" if ours.mean > theirs.mean else "is not ahead of"
    by = "" if math.isnan(distance) else f" by {abs(distance):.1f} standard deviations"
    return f"{one.rival.label} ({ours}) {word} {other.rival.label} ({theirs}){by}"


_WORDS: Final = (
    (_CLEAR, "beats"),
    (0.0, "is ahead of, but does not clearly beat,"),
    (-_CLEAR, "is behind, but not clearly beaten by,"),
    (-math.inf, "is beaten by"),
)
"""The least distance for which each holds."""


def _only(name: str) -> Callable[[Rival], bool]:
    return lambda rival: [term.name for term in rival.terms] == [name] and not rival.settings


def _is_hybrid(rival: Rival) -> bool:
    names = {term.name for term in rival.terms}
    return "proxyless" in names and bool(names & REGRESSIONS)
