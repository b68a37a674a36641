"""Pure functions from scores to the rates that are published, for a sample and for resamples of it at once.

`weights` says how often each comparison counts: (b, n), a row for each resample, of which the first is the sample
itself (all ones) where a point estimate is wanted. Every rate is then (b,). A resample in which nobody is left that a
rate is about gives NaN.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]
Weights = NDArray[np.floating[Any]]
Rates = NDArray[np.float64]
Bools = NDArray[np.bool_]

NO_FACE: Final = -1.0
"""The score of a comparison in which a photo gave no face: below every cosine but the opposite's."""
ENOUGH: Final = 10
"""A false-accept rate is reported only where so many of the impostors may be accepted."""
_AMPLE: Final = 2  # times the scores that a tail holds on average: enough for nearly every resample
_ONE_LESS: Final = 1e-9  # 300 × 0.01 must not count as 2.999…


def share(holds: Bools, weights: Weights) -> Rates:
    """The weighted share of cases in which something holds; holds: (n,)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(weights @ holds.astype(weights.dtype) / weights.sum(axis=1), dtype=np.float64)


def share_reaching(scores: Scores, thresholds: Rates, weights: Weights) -> Rates:
    """The weighted share of scores at or over each row's own threshold; scores: (n,), thresholds: (b,).

    NaN where the threshold is.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = -scores[order]
    before = np.zeros((len(weights), len(scores) + 1))
    np.cumsum(weights[:, order], axis=1, out=before[:, 1:])
    reached = np.searchsorted(ranked, -thresholds, side="right")
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = before[np.arange(len(weights)), reached] / before[:, -1]
    return np.where(np.isnan(thresholds), np.nan, shares)


def threshold_at(scores: Scores, rate: float, weights: Weights) -> Rates:
    """`thresholds_at` one rate; (b,)."""
    return thresholds_at(scores, [rate], weights)[0]


def thresholds_at(scores: Scores, rates: Sequence[float], weights: Weights) -> list[Rates]:
    """For each rate the lowest threshold that at most this share of scores reaches; NO_FACE where all of them may.

    scores: (n,), of impostors. With FPIR(N,T) for a rate, and each non-mated probe's best Candidate for a score, this
    is T of NIST's identification mode; with FAR and impostor pairs it is T of TAR@FAR. Nothing is interpolated, so
    the rate that is really had is at or below the one asked for.
    """
    order = np.argsort(-scores, kind="stable")
    above = np.append(np.nextafter(scores[order].astype(np.float64), np.inf), NO_FACE)
    total = weights.sum(axis=1, dtype=np.float64)
    allowed = [rate * total + _ONE_LESS for rate in rates]
    soon = int(_AMPLE * max(rates) * len(order)) + 1
    counted = np.cumsum(weights[:, order[:soon]], axis=1, dtype=np.float64)
    if soon < len(order) and not (counted[:, -1] > np.max(allowed, axis=0)).all():
        counted = np.cumsum(weights[:, order], axis=1, dtype=np.float64)
    return [np.where(total > 0, above[_first_over(counted, limits)], np.nan) for limits in allowed]


def _first_over(running: Rates, limits: Rates) -> NDArray[np.int64]:
    """The first column of each row, never falling, that is over the row's limit; one past the last if none is."""
    found = [np.searchsorted(row, limit, side="right") for row, limit in zip(running, limits, strict=True)]
    return np.array(found, dtype=np.int64)


def supported(rate: float, impostors: int) -> bool:
    """Whether so many impostors can tell a rate: at least 10 / rate of them."""
    return impostors * rate + _ONE_LESS >= ENOUGH


def pair_accuracy(scores: Scores, same: Bools, fold: NDArray[np.integer[Any]], weights: Weights) -> Rates:
    """1:1 accuracy, each fold judged at the threshold that is best on the others; mean over folds.

    scores: (n,) cosines. same: (n,). fold: (n,).
    Source: LFW's view 2 (Huang et al., 2007).
    """
    accuracies = []
    for held_out in np.unique(fold):
        test = fold == held_out
        chosen = best_threshold(scores[~test], same[~test], weights[:, ~test])
        right = (scores[test] >= chosen[:, None]) == same[test]
        with np.errstate(invalid="ignore", divide="ignore"):
            accuracies.append((right * weights[:, test]).sum(axis=1) / weights[:, test].sum(axis=1))
    return np.asarray(np.mean(accuracies, axis=0), dtype=np.float64)


def best_threshold(scores: Scores, same: Bools, weights: Weights) -> Rates:
    """The threshold with the least weight of errors; half-way between two scores, the lowest of equals; (b,)."""
    order = np.argsort(scores, kind="stable")
    ranked, genuine = scores[order].astype(np.float64), same[order]
    counted = weights[:, order]
    below = np.zeros((len(weights), len(scores) + 1))  # column i: the threshold lies below the i-th score
    np.cumsum(np.where(genuine, counted, -counted), axis=1, out=below[:, 1:])  # mates rejected - strangers refused
    below[:, 1:-1][:, ranked[1:] == ranked[:-1]] = np.inf  # no threshold parts two equal scores
    edges = np.concatenate([[ranked[0] - 1], ranked, [ranked[-1] + 1]])
    cut = below.argmin(axis=1)
    return np.asarray((edges[cut] + edges[cut + 1]) / 2)


def top_share(rank: NDArray[np.integer[Any]], most: int, weights: Weights) -> Rates:
    """Rank-k of a closed set: the share of mated probes whose mate is among the `most` best; rank: (n,) from 1."""
    return share(rank <= most, weights)


def miss_rate(mate: Scores, rank: NDArray[np.integer[Any]], thresholds: Rates, weights: Weights) -> Rates:
    """FNIR(N,R=1,T): the share of mated probes whose mate is not the best Candidate, or scores below T.

    mate: (n,) score of the mate. rank: (n,) of the mate, from 1. thresholds: (b,).
    Source: NIST FRTE 1:N, false negative identification rate.
    """
    return 1.0 - share_reaching(np.where(rank == 1, mate, -np.inf), thresholds, weights)


def trade_off(impostors: Scores, genuine: Scores, points: int) -> tuple[Rates, Rates]:
    """At most so many points of a curve: (share of impostors accepted at most, share of genuine ones accepted).

    impostors: (n,), genuine: (m,). The thresholds are those of `threshold_at` for 1/n, 2/n, … 1, thinned out evenly on
    a logarithmic scale; empty without impostors.
    """
    count = len(impostors)
    allowed = np.unique(np.geomspace(1, count, points).round().astype(np.int64)) if count else np.empty(0, np.int64)
    falling = np.append(np.nextafter(np.sort(impostors)[::-1].astype(np.float64), np.inf), NO_FACE)
    reached = np.searchsorted(np.sort(genuine), falling[allowed], side="left")
    return allowed / max(count, 1), 1 - reached / len(genuine)
