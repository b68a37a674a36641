"""1:N: what each probe finds in a gallery, and the rates of it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kd.evaluate.bootstrap import Samples, of_probes, over_resamples
from kd.evaluate.figures import Impostors, SearchCurves
from kd.evaluate.protocol import Bools, Ints, Search
from kd.evaluate.rates import (
    NO_FACE,
    Rates,
    Weights,
    miss_rate,
    share,
    share_reaching,
    supported,
    threshold_at,
    top_share,
    trade_off,
)
from kd.evaluate.templates import Floats, Rows, score_blocks

RANKS: Final = (1, 5, 10)
FPIRS: Final = (0.1, 0.01)

_MOST_RANKS: Final = 20
_BINS: Final = 60
_POINTS: Final = 100
_TAILS: Final = (1e-4, 1e-3, 1e-2, 1e-1)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a search gives, before any threshold. m mated and n non-mated probes."""

    mate: Floats
    """(m,) cosine with the best enrolled template of the probe's own Subject."""
    rank: Ints
    """(m,) Subjects that score at least as high, the mate among them: equal scores count against the mate.

    One more than there are Subjects where either side has no face.
    """
    strangers: Floats
    """(n,) best cosine of each non-mated probe with anybody."""
    impostors: Impostors

    @property
    def hit(self) -> Bools:
        return np.equal(self.rank, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A Search, by number of Subject."""

    gallery: Ints
    """(g,) templates, those of one Subject beside each other."""
    starts: Ints
    """(N,) where each Subject's begin."""
    names: Ints
    """(N,) the Subjects, ascending."""
    mated: Ints
    """(m,) templates."""
    strangers: Ints
    """(n,) templates."""


def parts_of(search: Search, subjects: Ints) -> Parts:
    """subjects: (t,) of every template of the protocol."""
    gallery = search.gallery[np.argsort(subjects[search.gallery], kind="stable")]
    names, starts = np.unique(subjects[gallery], return_index=True)
    mated = np.isin(subjects[search.probes], names)
    return Parts(gallery, starts, names, search.probes[mated], search.probes[~mated])


def find(parts: Parts, subjects: Ints, probes: Rows, gallery: Rows) -> Found:
    """Search every probe, as the one model sees it, in the gallery, as the other does."""
    names = parts.names
    mate, rank = np.empty(len(parts.mated), dtype=np.float32), np.empty(len(parts.mated), dtype=np.int64)
    own = np.searchsorted(names, subjects[parts.mated])
    tally = _Tally((len(parts.mated) + len(parts.strangers)) * len(parts.gallery))
    for rows, scores in score_blocks(probes, gallery, parts.mated, parts.gallery):
        best = np.maximum.reduceat(scores, parts.starts, axis=1)
        mine = best[np.arange(len(best)), own[rows]]
        mate[rows] = mine
        rank[rows] = np.where(mine > NO_FACE, (best >= mine[:, None]).sum(axis=1), len(names) + 1)
        tally.add(scores[subjects[parts.mated[rows]][:, None] != subjects[parts.gallery]])
    strangers = np.empty(len(parts.strangers), dtype=np.float32)
    for rows, scores in score_blocks(probes, gallery, parts.strangers, parts.gallery):
        strangers[rows] = scores.max(axis=1)
        tally.add(scores.ravel())
    return Found(mate, rank, strangers, tally.impostors())


class _Tally:
    """Mean, spread and upper tail of scores that are never in memory all at once; scores of NO_FACE are left out."""

    def __init__(self, most: int) -> None:
        self._tail = next((tail for tail in _TAILS if supported(tail, most)), _TAILS[-1])
        self._kept = int(self._tail * most) + 1
        self._count, self._sum, self._squares = 0, 0.0, 0.0
        self._upper = np.empty(0, dtype=np.float32)

    def add(self, scores: Floats) -> None:
        scores = scores[scores > NO_FACE]
        self._count += len(scores)
        self._sum += float(scores.sum(dtype=np.float64))
        self._squares += float(np.square(scores, dtype=np.float64).sum())
        upper = np.concatenate([self._upper, scores])
        self._upper = np.partition(upper, -self._kept)[-self._kept :] if len(upper) > self._kept else upper

    def impostors(self) -> Impostors:
        if self._count == 0:
            return Impostors(np.nan, np.nan, self._tail, np.nan)
        mean = self._sum / self._count
        deviation = max(self._squares / self._count - mean**2, 0.0) ** 0.5
        above = np.sort(self._upper)[::-1][int(self._tail * self._count)]
        return Impostors(mean, deviation, self._tail, float(above))


def search_samples(found: Found, parts: Parts, subjects: Ints, weights: Weights) -> Samples:
    """`rank K`, and `threshold F` and `fnir F` where there are non-mated probes, in each resample.

    The threshold is chosen anew in each, so the interval of the FNIR knows that it might have been another.
    """

    def rates(block: Weights) -> dict[str, Rates]:
        mated = of_probes(block, subjects[parts.mated])
        strangers = of_probes(block, subjects[parts.strangers])
        some = {f"rank {k}": top_share(found.rank, k, mated) for k in RANKS}
        for fpir in FPIRS if len(parts.strangers) else ():
            threshold = threshold_at(found.strangers, fpir, strangers)
            some[f"threshold {fpir:g}"] = threshold
            some[f"fnir {fpir:g}"] = miss_rate(found.mate, found.rank, threshold, mated)
        return some

    return over_resamples(rates, weights, len(parts.mated) + len(parts.strangers))


def transfer_samples(
    found: Found, thresholds: dict[str, float], parts: Parts, subjects: Ints, weights: Weights
) -> Samples:
    """`fpir F` and `fnir F` that are really had at each fixed threshold, in each resample."""

    def rates(block: Weights) -> dict[str, Rates]:
        mated = of_probes(block, subjects[parts.mated])
        strangers = of_probes(block, subjects[parts.strangers])
        some: dict[str, Rates] = {}
        for name, threshold in thresholds.items():
            fixed = np.full(len(block), threshold)
            some[f"fpir {name}"] = share_reaching(found.strangers, fixed, strangers)
            some[f"fnir {name}"] = miss_rate(found.mate, found.rank, fixed, mated)
        return some

    return over_resamples(rates, weights, len(parts.mated) + len(parts.strangers))


def flip_samples(teacher: Found, student: Found, parts: Parts, subjects: Ints, weights: Weights) -> Rates:
    """The share of mated probes found at rank 1 by the one and not by the other, in each resample."""
    return share(teacher.hit & ~student.hit, of_probes(weights, subjects[parts.mated]))


def search_curves(found: Found, edges: NDArray[np.float64], subjects: int) -> SearchCurves:
    """The points to draw; edges: of the bins of scores. subjects: N."""
    known, strangers = found.mate[found.mate > NO_FACE], found.strangers[found.strangers > NO_FACE]
    fpir, tpir = trade_off(found.strangers, np.where(found.hit, found.mate, -np.inf), _POINTS)
    return SearchCurves(
        ranks=tuple(float((found.rank <= k).mean()) for k in range(1, min(_MOST_RANKS, subjects) + 1)),
        fpir=tuple(fpir.tolist()),
        fnir=tuple((1 - tpir).tolist()),
        edges=tuple(edges.tolist()),
        mates=tuple(np.histogram(known, edges)[0].tolist()),
        strangers=tuple(np.histogram(strangers, edges)[0].tolist()),
    )


def score_edges(several: list[Found]) -> NDArray[np.float64]:
    """Bins that hold the scores of all of them."""
    scores = np.concatenate([scores[scores > NO_FACE] for found in several for scores in (found.mate, found.strangers)])
    if len(scores) == 0:
        return np.linspace(-1, 1, _BINS + 1)
    low, high = float(scores.min()), float(scores.max())
    return np.linspace(low, max(high, low + 1e-6), _BINS + 1)
