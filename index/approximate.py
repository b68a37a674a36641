"""An engine that estimates most scores, for galleries too large to look at every row: fast, and it may miss somebody.

A segment's rows become codes of 4 bits for every two dimensions (product quantisation; Jégou et al., Product
quantization for nearest neighbor search, 2011), which FAISS looks up in the processor's registers (André et al., Cache
locality is not enough, 2015). What they bring up is scored from the stored rows. So every score is right, and the order
of those that are found; who is not found by his code is missed.

Codes are made in the background, and are in memory alone. The centroids are derived of a segment's rows: when somebody
in it is forgotten, the segment is laid out anew, and its centroids and codes are made anew with it, of the others.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final
from weakref import WeakKeyDictionary

import faiss
import numpy as np

from faces.embed import Vectors
from index.scan import Best, Floats, Mask, Part, Scan
from index.search import Scans
from index.segment import Coding, Numbers, Segment

FEWEST: Final = 4096
"""Rows of a segment that are worth codes of their own."""

_WIDER: Final = 8  # times as many rows are scored as are asked for; see docs/decisions/0019-other-engines.md
_DEEPEST: Final = 4096  # rows: who asks for more wants them all, and is answered exactly
_MOST_ERASED: Final = 1024  # rows of a segment that are looked up and dropped; with more, it is scanned exactly
_BITS: Final = 4
_TRAINED_ON: Final = 16_384  # rows of a segment
_BLOCK: Final = 8192  # rows coded at once
_HALF_ULP: Final = 2.0**-24  # of float32, relative
_ADDED_BESIDES: Final = 8


class Approximate:
    """Searches segments that have codes by these, and all others as `exact` does. For any number of threads."""

    def __init__(self, exact: Scans, threads: int | None = None) -> None:
        """threads: all cores, unless told."""
        self._exact = exact
        self._codes: WeakKeyDictionary[Coding, Any] = WeakKeyDictionary()
        self._preparing = threading.Lock()
        self._pool = ThreadPoolExecutor(
            threads or len(os.sched_getaffinity(0)),
            thread_name_prefix="approximate",
            initializer=faiss.omp_set_num_threads,  # each thread's own setting: none of them starts others
            initargs=(1,),
        )

    def lacks(self, segments: Sequence[Segment]) -> list[Segment]:
        """Those that are to get codes yet."""
        return [of for of in segments if len(of) >= FEWEST and of.coding not in self._codes]

    def prepare(self, segments: Sequence[Segment], go_on: Callable[[], bool] = lambda: True) -> None:
        """Make the codes they lack, one segment after the other, as long as `go_on` says so."""
        for segment in self.lacks(segments):
            with self._preparing:  # others wait, and find them made
                if go_on() and segment.coding not in self._codes:
                    self._codes[segment.coding] = self._pool.submit(coded, segment).result()

    def codes_any(self, segments: Sequence[Segment]) -> bool:
        """Whether any of these has codes."""
        return any(of.coding in self._codes for of in segments)

    def forget_codes(self) -> None:
        self._codes.clear()

    def scan(self, parts: Sequence[Part], probes: Vectors, depth: int) -> Scan:
        """About the `depth` nearest living rows: see Scans. None of them is off by more than the slack."""
        codes = [self._codes_for(segment, alive) for segment, alive in parts]
        if depth > _DEEPEST or not len(probes) or all(index is None for index in codes):
            return self._exact.scan(parts, probes, depth)
        starts = np.cumsum([0, *(len(segment) for segment, _ in parts)])
        estimated = [number for number, index in enumerate(codes) if index is not None]
        near = Best(len(probes), _WIDER * depth)
        tasks: list[Future[None]] = [
            self._pool.submit(_look_up, codes[number], parts[number][1], int(starts[number]), probes, near)
            for number in estimated
        ]
        best = Best(len(probes), depth)
        others = [number for number, index in enumerate(codes) if index is None]
        slack = self._scan_exactly(parts, others, starts, probes, best)
        for task in tasks:
            task.result()
        _, rows = near.sorted()
        segments = [segment for segment, _ in parts]
        scores = [_scores(segments, starts, of, probe) for of, probe in zip(rows, probes, strict=True)]
        best.take(np.stack(scores), rows)
        longest = max(segments[number].coding.longest for number in estimated)
        rounded = (probes.shape[1] + _ADDED_BESIDES) * _HALF_ULP * longest * np.linalg.norm(probes, axis=1)
        return Scan(*best.sorted(), np.maximum(slack, rounded).astype(np.float32))

    def close(self) -> None:
        """Whoever searches still is answered exactly."""
        self.forget_codes()
        self._pool.shutdown()

    def _codes_for(self, segment: Segment, alive: Mask | None) -> Any:
        """None: this segment is scanned exactly."""
        if alive is not None and len(segment) - np.count_nonzero(alive) > _MOST_ERASED:
            return None
        return self._codes.get(segment.coding)

    def _scan_exactly(
        self, parts: Sequence[Part], others: Sequence[int], starts: Numbers, probes: Vectors, best: Best
    ) -> Floats:
        """Bring the nearest rows of these parts to `best`; the slack (m,) of their scores."""
        if not others:
            return np.zeros(len(probes))
        found = self._exact.scan([parts[number] for number in others], probes, best.depth)
        lengths = [len(parts[number][0]) for number in others]
        firsts = np.cumsum([0, *lengths])
        places = np.searchsorted(firsts, found.rows, side="right") - 1
        shifts = starts[list(others)] - firsts[:-1]
        rows = np.where(found.rows < 0, -1, found.rows + shifts[np.maximum(places, 0)])
        best.take(found.scores, rows)
        return found.slack.astype(np.float64)


def coded(segment: Segment) -> Any:
    """A faiss.IndexPQFastScan of its rows."""
    width = _width(segment.dim)
    index = faiss.IndexPQFastScan(width, width // 2, _BITS, faiss.METRIC_INNER_PRODUCT)
    index.pq.cp.min_points_per_centroid = 1  # no warning on stderr
    spread = np.linspace(0, len(segment) - 1, min(len(segment), _TRAINED_ON)).astype(np.int64)
    index.train(_padded(segment.rows_of(spread)))
    for start in range(0, len(segment), _BLOCK):
        index.add(_padded(segment.rows_of(np.arange(start, min(start + _BLOCK, len(segment))))))
    return index


def _width(dim: int) -> int:
    """Of rows that are cut into pairs: an odd one gets a zero."""
    return dim + dim % 2


def _padded(rows: Vectors) -> Vectors:
    return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, _width(rows.shape[1]) - rows.shape[1]))), dtype=np.float32)


def _look_up(index: Any, alive: Mask | None, start: int, probes: Vectors, near: Best) -> None:
    erased = 0 if alive is None else int(np.count_nonzero(~alive))
    estimates, rows = index.search(_padded(probes), min(near.depth + erased, index.ntotal))
    missing = rows < 0
    if alive is not None:
        missing |= ~alive[rows]
    near.take(np.where(missing, -np.inf, estimates).astype(np.float32), np.where(missing, -1, rows + start))


def _scores(segments: Sequence[Segment], starts: Numbers, rows: Numbers, probe: Vectors) -> Vectors:
    """(c,) rows, counted through all segments -> (c,) their products with a probe; -inf for -1."""
    scores = np.full(len(rows), -np.inf, dtype=np.float32)
    places = np.where(rows < 0, -1, np.searchsorted(starts, rows, side="right") - 1)
    for place in np.unique(places[places >= 0]):
        chosen = places == place
        scores[chosen] = segments[place].rows_of(rows[chosen] - starts[place]) @ probe
    return scores
