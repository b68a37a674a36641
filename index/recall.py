"""What an approximate engine misses in a gallery, measured on the gallery itself; and whether that was accepted."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from index.errors import ApproximationRefused
from index.rows import Numbers
from index.search import Hit, Scans, Snapshot

FEWEST_SUBJECTS: Final = 20
"""So that ten of them are a choice."""

MOST_PROBES: Final = 1000
"""Rows left out at once: an engine passes over as many without another way of searching."""

_K: Final = 10
_GROWN: Final = 1.5


@dataclass(frozen=True, slots=True)
class Recall:
    """Templates searched for among all others, by an approximate engine and exactly. Times are medians of one search.

    A person who is searched for by another camera, or by a student, is farther from his Templates than these are from
    one another: then more may be missed.
    """

    first: float
    """Share of probes whose nearest Subject is the exact one."""
    ten: float
    """Share of the ten nearest Subjects that were found."""
    probes: int
    templates: int
    """In the gallery, when it was measured."""
    ms: float
    exact_ms: float


@dataclass(frozen=True, slots=True)
class Approximation:
    """That a collection may be searched approximately, and on what grounds."""

    templates: int
    """From so many Templates on; with fewer, it is searched exactly."""
    floor: float
    """The recall of the first Subject that was asked for."""
    recall: Recall
    date: str
    """ISO 8601, of the measurement."""

    def outgrown(self, templates: int) -> bool:
        """Whether it was measured on a gallery so much smaller that it should be measured again."""
        return templates > _GROWN * self.recall.templates


def accepted(recall: Recall, templates: int, floor: float, date: str) -> Approximation:
    """From so many Templates on. Raises ApproximationRefused when more is missed than `floor` allows."""
    if recall.first < floor:
        raise ApproximationRefused(
            f"the nearest Subject is found by {recall.first:.4f} of searches, and that is less than",
            floor,
            "The search stays exact. Accept more misses with --floor, or a smaller gallery by collections.",
        )
    return Approximation(templates, floor, recall, date)


def measure(
    snapshot: Snapshot,
    exact: Scans,
    approximate: Scans,
    *,
    probes: int,
    seed: int,
    clock: Callable[[], float] = time.perf_counter,
    report_progress: Callable[[int], None] = lambda _: None,
) -> Recall:
    """Search for one Template each of up to `probes` Subjects, without these Templates being there.

    probes: at most MOST_PROBES. clock: seconds. Raises ApproximationRefused where there are too few Subjects to tell.
    """
    chosen = _chosen(snapshot, probes, seed)
    if len(chosen) < FEWEST_SUBJECTS:
        raise ApproximationRefused(
            "too few Subjects to measure what would be missed", len(chosen), f"{FEWEST_SUBJECTS} are the fewest."
        )
    rows = snapshot.locate(chosen)[1]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    others = snapshot.changed(chosen.tolist(), {})
    alike: list[tuple[float, float]] = []
    times: list[tuple[float, float]] = []
    for row in rows:
        began = clock()
        (right,) = others.search(row[None], _K, exact)
        between = clock()
        (found,) = others.search(row[None], _K, approximate)
        times.append((between - began, clock() - between))
        alike.append(_agreement(right, found))
        report_progress(1)
    first, ten = np.mean(alike, axis=0).tolist()
    exact_ms, ms = (1000 * np.median(times, axis=0)).tolist()
    return Recall(first, ten, len(rows), snapshot.living, ms, exact_ms)


def _chosen(snapshot: Snapshot, probes: int, seed: int) -> Numbers:
    """Ids of one Template each of some Subjects, the same for the same seed. Rising."""
    ids, owners = snapshot.ids_and_owners()
    random = np.random.default_rng(seed)
    order = random.permutation(len(ids))
    _, one_each = np.unique(owners[order], return_index=True)
    chosen: Numbers = np.sort(ids[order[random.permutation(one_each)[:probes]]])
    return chosen


def _agreement(right: Sequence[Hit], found: Sequence[Hit]) -> tuple[float, float]:
    """Whether the first Subject is the same, and the share of all that were found."""
    subjects = {hit.subject for hit in found}
    shared = sum(hit.subject in subjects for hit in right) / max(len(right), 1)
    same = bool(found) and bool(right) and found[0].subject == right[0].subject
    return float(same or not right), shared if right else 1.0
