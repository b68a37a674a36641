"""How sure a rate is: resamples of people, since photos of one person are not independent of each other.

A resample draws as many Subjects as there are, with replacement, from all that have a probe or a pair; each photo
counts as often as its Subject was drawn, so mated and non-mated probes, pairs, galleries, models and resolutions of
one protocol share their resamples and may be compared within one. A pair counts as often as its Subjects were drawn
together: once for each draw of the one Subject of a genuine pair, and the product of both for an impostor pair. The
gallery stays as it is, because N is part of what is measured.

Cost: 1,000 resamples of 32,400 pairs take 0.4 s on one core, of LFW's 2,190 pairs or 1,477 probes 0.1 s; it grows with
both. The 15.7 million pairs of IJB-C take minutes a cell: ask for fewer resamples there.
Sources: ISO/IEC 19795-1, bootstrap over people; Bolle et al., Error analysis of pattern recognition systems, 2004, the
subsets bootstrap; the product for impostor pairs is Owen, The pigeonhole bootstrap, 2007.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from kd.evaluate.figures import Figure
from kd.evaluate.protocol import Ints
from kd.evaluate.rates import Rates, Weights

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 1000
_AT_ONCE: Final = 2**22  # weights in memory for one call

Samples = Mapping[str, Rates]
"""Name of a rate -> its value in the sample itself, then in each resample."""


def draw_subjects(taking_part: Ints, subjects: int, *, resamples: int, seed: int) -> Weights:
    """(1 + resamples, subjects): how often each Subject counts; once in row 0, which is the sample itself.

    taking_part: numbers of the Subjects to draw from, in any order; the others count 0 times.
    """
    chosen = np.unique(taking_part)
    weights = np.zeros((1 + resamples, subjects), dtype=np.float32)
    weights[0, chosen] = 1
    draws = np.random.default_rng(seed).multinomial(len(chosen), np.full(len(chosen), 1 / len(chosen)), size=resamples)
    weights[1:, chosen] = draws
    return weights


def of_probes(weights: Weights, subject: Ints) -> Weights:
    """(b, subjects), (n,) -> (b, n): how often each probe counts."""
    return weights[:, subject]


def of_pairs(weights: Weights, left: Ints, right: Ints) -> Weights:
    """(b, subjects), the Subjects of both sides (n,), (n,) -> (b, n): how often each impostor pair counts."""
    return weights[:, left] * weights[:, right]


def over_resamples(rates: Callable[[Weights], Samples], weights: Weights, comparisons: int) -> Samples:
    """`rates` of all resamples, a bounded number of them at a time. weights: (b, subjects)."""
    rows = max(1, _AT_ONCE // max(comparisons, 1))
    parts = [rates(weights[start : start + rows]) for start in range(0, len(weights), rows)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def figure(values: Rates) -> Figure:
    """The sample's own value, and the percentile interval of its resamples; resamples without the rate are left out."""
    resampled = values[1:][np.isfinite(values[1:])]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail]) if len(resampled) else (np.nan, np.nan)
    return Figure(float(values[0]), float(low), float(high))
