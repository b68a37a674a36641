"""Pure functions from scores to the rates that are published."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]

NO_FACE = -1.0
"""The score of a comparison in which a photo gave no face: below every cosine but the opposite's."""


def pair_accuracy(scores: Scores, same: NDArray[np.bool_], fold: NDArray[np.integer[Any]]) -> float:
    """1:1 accuracy, each fold judged at the threshold that is best on the others; mean over folds.

    scores: (n,) cosines. same: (n,). fold: (n,).
    Source: LFW's view 2 (Huang et al., 2007).
    """
    folds = np.unique(fold)
    accuracies = []
    for held_out in folds:
        chosen = best_threshold(scores[fold != held_out], same[fold != held_out])
        test = fold == held_out
        accuracies.append(float(((scores[test] >= chosen) == same[test]).mean()))
    return float(np.mean(accuracies))


def best_threshold(scores: Scores, same: NDArray[np.bool_]) -> float:
    """The threshold with the fewest errors; half-way between two scores, the lowest of equals."""
    order = np.argsort(scores)
    ranked, genuine = scores[order], same[order]
    rejected_mates = np.concatenate([[0], np.cumsum(genuine)])  # at a threshold below the i-th score
    accepted_strangers = (~genuine).sum() - np.concatenate([[0], np.cumsum(~genuine)])
    errors = rejected_mates + accepted_strangers
    errors[1:-1][ranked[1:] == ranked[:-1]] = len(scores) + 1  # no threshold parts two equal scores
    cut = int(np.argmin(errors))
    below = ranked[cut - 1] if cut > 0 else ranked[0] - 1
    above = ranked[cut] if cut < len(ranked) else ranked[-1] + 1
    return float((below + above) / 2)


@dataclass(frozen=True, slots=True)
class OpenSet:
    """FNIR and threshold at one FPIR."""

    fpir: float
    fnir: float
    threshold: float


def open_set(top_mated: Scores, hit: NDArray[np.bool_], top_non_mated: Scores, fpirs: Iterable[float]) -> list[OpenSet]:
    """FNIR(N,T) at the lowest T whose FPIR(N,T) is at most each of `fpirs`.

    top_mated: (m,) best score of each mated probe; hit: (m,) whether it is the mate's. top_non_mated: (n,) likewise.
    Source: NIST FRTE 1:N, identification mode.
    """
    strangers = np.sort(top_non_mated)[::-1]
    found = []
    for fpir in fpirs:
        allowed = int(fpir * len(strangers))  # so many may be answered with somebody
        threshold = float(np.nextafter(strangers[allowed], np.inf)) if allowed < len(strangers) else NO_FACE
        missed = ~hit | (top_mated < threshold)
        found.append(OpenSet(fpir, float(missed.mean()), threshold))
    return found
