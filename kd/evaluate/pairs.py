"""1:1: the scores of pairs, and the rates of them."""

from typing import Final

import numpy as np

from kd.evaluate.bootstrap import Samples, of_pairs, of_probes, over_resamples
from kd.evaluate.figures import PairCurves
from kd.evaluate.protocol import Ints, Pairs
from kd.evaluate.rates import (
    Rates,
    Scores,
    Weights,
    pair_accuracy,
    share_reaching,
    supported,
    thresholds_at,
    trade_off,
)

FARS: Final = (1e-1, 1e-2, 1e-3, 1e-4)

_POINTS: Final = 100


def fars_told(pairs: Pairs) -> list[float]:
    """Those that the number of impostor pairs can tell."""
    return [far for far in FARS if supported(far, int((~pairs.same).sum()))]


def pair_samples(scores: Scores, pairs: Pairs, subjects: Ints, weights: Weights) -> Samples:
    """`accuracy` where there are folds, and `threshold F` and `tar F` of each FAR that can be told, in each resample.

    TAR@FAR: the share of genuine pairs at or over the lowest threshold that at most FAR of the impostor pairs reach.
    """
    left, right, same, fars = subjects[pairs.left], subjects[pairs.right], pairs.same, fars_told(pairs)

    def rates(block: Weights) -> dict[str, Rates]:
        genuine, impostor = of_probes(block, left[same]), of_pairs(block, left[~same], right[~same])
        some: dict[str, Rates] = {}
        if pairs.fold is not None:
            counts = np.empty((len(block), len(same)), dtype=block.dtype)
            counts[:, same], counts[:, ~same] = genuine, impostor
            some["accuracy"] = pair_accuracy(scores, same, pairs.fold, counts)
        for far, threshold in zip(fars, thresholds_at(scores[~same], fars, impostor) if fars else (), strict=True):
            some[f"threshold {far:g}"] = threshold
            some[f"tar {far:g}"] = share_reaching(scores[same], threshold, genuine)
        return some

    return over_resamples(rates, weights, len(scores))


def pair_curves(scores: Scores, pairs: Pairs) -> PairCurves:
    """The points to draw."""
    far, tar = trade_off(scores[~pairs.same], scores[pairs.same], _POINTS)
    return PairCurves(tuple(far.tolist()), tuple(tar.tolist()))
