"""How far a share that was counted may be from the true one: 95 % intervals, over people and not over photos.

Photos of one person are alike: ten probes of her say less than probes of ten people. So each interval is computed on an
*effective* number of probes, n / deff, where the design effect deff is the variance of the share when whole people are
drawn, over that when single photos are (Kish, Survey Sampling, 1965). It lies between the number of people and n.

Every function here is pure. `people`: (n,), whose probe each is.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Z: Final = 1.959964  # of the normal distribution: 95 % lie within ±Z


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of` probes of `people` people, and where the true share lies with 95 %; None where `of` is 0."""

    count: int
    of: int
    people: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two shares of the same probes: the second minus the first, with its 95 % interval; None without probes."""

    value: float | None
    low: float | None
    high: float | None


def share(marks: Sequence[bool], people: Sequence[Hashable]) -> Share:
    """The share of probes (n,) that are marked.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, 1927. It never leaves 0 to 1,
    and is no point where nothing was marked.
    """
    of, persons, count = len(marks), len(set(people)), sum(marks)
    if not of:
        return Share(0, 0, 0, None, None, None)
    value, n = count / of, effective_size(np.asarray(marks, dtype=np.float64), people)
    middle = (value + Z**2 / (2 * n)) / (1 + Z**2 / n)
    reach = Z / (1 + Z**2 / n) * math.sqrt(value * (1 - value) / n + Z**2 / (4 * n**2))
    return Share(count, of, persons, value, max(middle - reach, 0.0), min(middle + reach, 1.0))


def difference(first: Sequence[bool], second: Sequence[bool], people: Sequence[Hashable]) -> Difference:
    """How much larger the second's share is; each probe (n,) is marked, or not, by both.

    Source: Agresti & Min, Simple improved confidence intervals for comparing matched proportions, 2005: half a probe is
    added to each of the four ways in which the two can agree and differ, so no interval is of zero width.
    """
    if not len(first):
        return Difference(None, None, None)
    change = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    n = effective_size(change, people)
    more, fewer = float(np.mean(change > 0)) * n, float(np.mean(change < 0)) * n
    middle = (more - fewer) / (n + 2)
    reach = Z * math.sqrt(more + fewer + 1 - (more - fewer) ** 2 / (n + 2)) / (n + 2)
    return Difference(float(change.mean()), max(middle - reach, -1.0), min(middle + reach, 1.0))


def effective_size(values: NDArray[np.float64], people: Sequence[Hashable]) -> float:
    """How many independent probes these (n,), n at least 1, are worth: from the number of people to n."""
    number = {person: position for position, person in enumerate(dict.fromkeys(people))}
    persons, n = len(number), len(values)
    spread = float(values.var())
    if spread == 0 or persons == 1:
        return float(persons)  # nothing tells how alike one person's photos are: as if they were all one
    totals = np.bincount([number[person] for person in people], values - values.mean())
    of_people = persons / (persons - 1) * float(totals @ totals) / n**2
    return n / min(max(of_people / (spread / n), 1.0), n / persons)
