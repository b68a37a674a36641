"""From the best scores that strangers reached to the score that a given share of strangers reaches.

Where the trials show that share themselves, it is counted. Where they almost do, the tail of their scores is continued
by a generalised Pareto distribution (peaks over a threshold). Beyond that, nothing is said.

Every function here is pure. Rates are shares of trials, 0 to 1, both ends out; scores are cosines.
Sources: Pickands, Statistical inference using extreme order statistics, 1975 (why excesses over a high score are
generalised Pareto); Hosking & Wallis, Parameter and quantile estimation for the generalized Pareto distribution, 1987
(the fit); ISO/IEC 19795-1 (bootstrap over people).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

ENOUGH_ALARMS: Final = 3
"""Fewer false alarms than this, expected in all trials, do not show a rate: with none in n trials the true one may
still be 3/n (95 %)."""
EXCEEDANCES: Final = 50
"""The fewest scores that a tail is fitted to: on fewer, its shape is noise."""
FARTHEST: Final = 10
"""A tail is continued to rates this many times lower than the trials show, and to this many times the Subjects."""
CONFIDENCE: Final = 0.95
RESAMPLES: Final = 1000

_TAIL: Final = 0.05  # of the trials; of 500 it is the tenth that EXCEEDANCES are
_WIDEST: Final = 0.1  # a larger share is no tail
_ONE_LESS: Final = 1e-9  # 300 × 0.01 must not count as 2.999…
_NOBODY: Final = math.nextafter(1.0, 2.0)  # no cosine reaches it


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """What strangers scored."""

    scores: Floats
    """(n,) of each probe, with the nearest Subject that it is not of; in any order."""
    groups: Numbers
    """(n,) probes of one group are not independent of each other: resamples take all of them or none."""
    people: int
    """How many different people the probes are of: never more than n, since photos of one person are alike."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A threshold, the 95 % interval of its resamples, and whether the trials show it or their tail was continued."""

    value: float
    low: float
    high: float
    extrapolated: bool


@dataclass(frozen=True, slots=True)
class Tail:
    """The generalised Pareto distribution of scores over `start`.

    P(score > start + y) = rate × (1 + shape × y / scale) ^ (-1 / shape), and rate × exp(-y / scale) at shape 0.
    """

    start: float
    rate: float
    """The share of trials over `start`."""
    shape: float
    """ξ; never above 0, since no cosine is above 1 and a positive one means a tail without an end."""
    scale: float
    """σ, a cosine."""

    @classmethod
    def of(cls, falling: Floats) -> Self:
        """Fit to the upper twentieth of scores (n,), highest first, and to 50 of them at least. n: more than 50.

        By probability-weighted moments a₀ = E[y] and a₁ = E[y (1 - F(y))], which do better than maximum likelihood on
        so few: shape 2 - a₀ / (a₀ - 2 a₁), scale 2 a₀ a₁ / (a₀ - 2 a₁), Hosking & Wallis (1987), their k is -shape.
        A positive shape, which a bounded score cannot have, is set to 0; the scale is then a₀, the mean excess.
        """
        count = max(EXCEEDANCES, int(len(falling) * _TAIL))
        excesses = falling[:count] - falling[count]
        mean = float(excesses.mean())
        moment = float(excesses @ np.arange(count)) / (count * (count - 1))  # unbiased: (j - 1) / (count - 1) is 1 - F
        spread = mean - 2 * moment
        shape = 2 - mean / spread if spread > 0 else 0.0
        scale = 2 * mean * moment / spread if shape < 0 else mean
        return cls(float(falling[count]), count / len(falling), min(shape, 0.0), scale)

    def threshold(self, rate: float) -> float:
        """The score that this share of trials is over; rate: at most `self.rate`."""
        rarer = math.log(self.rate / rate)
        if self.shape == 0.0:
            return self.start + self.scale * rarer
        return self.start + self.scale / self.shape * math.expm1(self.shape * rarer)


def rate_at(fpir: float, growth: float) -> float:
    """The FPIR now, with N Subjects, of the threshold whose FPIR is `fpir` with growth × N Subjects like these.

    1 - (1 - fpir)^(1 / growth): a stranger is answered with nobody when each of growth galleries answers with nobody.
    """
    return -math.expm1(math.log1p(-fpir) / growth)


def trials_needed(rate: float) -> int:
    """The people that must be tried for `estimate` to know this rate: shown by them, or by their tail."""
    shown = math.ceil(ENOUGH_ALARMS / rate - _ONE_LESS)
    continued = math.ceil(ENOUGH_ALARMS / (rate * FARTHEST) - _ONE_LESS)
    return min(shown, max(continued, math.ceil(EXCEEDANCES / _WIDEST)))


def estimate(trials: Trials, rate: float, *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """The threshold that this share of trials reaches. trials: of at least `trials_needed(rate)` people.

    The interval is that of resamples of the groups, the percentiles of what each of them gives. The gallery stays as
    it is: N is part of what is measured. Where a rate rests on a handful of false alarms, the upper end is somewhat
    low, since no resample has a score that was never seen.
    """
    order = np.argsort(-trials.scores, kind="stable")
    falling = trials.scores[order]
    _, group = np.unique(trials.groups[order], return_inverse=True)
    extrapolated, read = _reading(trials, rate)
    chance, groups = np.random.default_rng(seed), int(group.max()) + 1
    resampled = np.empty(resamples)
    for number in range(resamples):
        drawn = np.bincount(chance.integers(groups, size=groups), minlength=groups)
        resampled[number] = read(np.repeat(falling, drawn[group]), rate)
    value = read(falling, rate)
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, min(float(low), value), max(float(high), value), extrapolated)


def threshold_at(trials: Trials, rate: float) -> float:
    """The value of `estimate` alone."""
    _, read = _reading(trials, rate)
    return read(np.sort(trials.scores)[::-1], rate)


def _reading(trials: Trials, rate: float) -> tuple[bool, Callable[[Floats, float], float]]:
    """Whether the tail must be continued, and the function that reads the threshold off the scores."""
    extrapolated = trials.people * rate + _ONE_LESS < ENOUGH_ALARMS
    return extrapolated, continued if extrapolated else shown


def shown(falling: Floats, rate: float) -> float:
    """The lowest threshold that no more than this share of scores (n,), highest first, reaches.

    As `kd evaluate` defines it. Nothing is interpolated: the rate that is had is at or below the one asked for.
    """
    allowed = math.floor(len(falling) * rate + _ONE_LESS)
    return float(np.nextafter(falling[allowed], np.inf))


def continued(falling: Floats, rate: float) -> float:
    """The threshold of a rate that is too low for these scores (n,), highest first, to show: by their Tail.

    Never below the lowest that they do show, so that a lower rate has no lower threshold; never above what nobody
    reaches.
    """
    last_shown = shown(falling, ENOUGH_ALARMS / len(falling))
    return min(max(Tail.of(falling).threshold(rate), last_shown), _NOBODY)
