"""The nearest Templates by their int8 codes, and how far off those scores can be.

With a row x = centre + y + e, where y is what its code stands for and |e| <= residual, and a probe p = q + f, where q
is what its own code stands for:

    <x, p> = <centre, p> + <y, q> + <y, f> + <e, p>

The scan finds the first two terms, the second in integers; the others are at most |y||f| + |e||p| by Cauchy-Schwarz.

One probe is scanned by FAISS, at the speed of memory. More are multiplied with a block of codes at a time, while it is
in the processor's cache, and only what is above the lowest score kept so far is looked at again: by numkong where it is
installed, else in float32. All of them find the same integers.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from faces.embed import Vectors
from index.segment import BIAS, LARGEST, Coding, Numbers, Segment, Slice, width_of

try:
    import numkong
except ImportError:  # it is not built for every processor
    numkong = None  # type: ignore[assignment]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Tables = tuple[NDArray[np.float32], Numbers]
Products = Callable[[NDArray[np.int8]], NDArray[Any]]
"""Codes of rows (b, width) -> their products (b, m) with those of the probes."""
Part = tuple[Segment, Mask | None]
"""A Segment and which of its rows (n,) are alive; None when all are."""

_GROUP: Final = 64  # probes multiplied at once
_BLOCK_BYTES: Final = 1 << 20  # of codes multiplied at once: with their products they fit the cache of one core
_UNSHARED: Final = 4 * 65536  # multiplications from which on OpenBLAS shares a product among threads of its own
_HALF_ULP: Final = 2.0**-24  # of float32, relative


class Scan(NamedTuple):
    scores: NDArray[np.float32]
    """(m, depth) approximate, best first; -inf where there was nothing more."""
    rows: Numbers
    """(m, depth) counted through all Segments in turn; -1 where there was nothing more."""
    slack: NDArray[np.float32]
    """(m,) no score is farther than this from the row's exact one."""


def scan_threads() -> int:
    """How many scan at once, unless told."""
    return len(os.sched_getaffinity(0))


class Scanner:
    """The threads that scan. One for a process is enough: callers share it, and its size is what they may burden."""

    def __init__(self, threads: int | None = None, multiplier: "Multiplier | None" = None) -> None:
        """threads: as many as cores, unless told. multiplier: the fastest installed, unless told."""
        self._multiplier = multiplier or MULTIPLIERS["float32" if numkong is None else "int8"]
        self._pool = ThreadPoolExecutor(
            threads or scan_threads(),
            thread_name_prefix="scan",
            initializer=faiss.omp_set_num_threads,  # each thread's own setting: none of them starts others
            initargs=(1,),
        )

    def scan(self, parts: Sequence[Part], probes: Vectors, depth: int) -> Scan:
        """The `depth` nearest living rows of all parts, for each probe (m, dim), as far as codes can tell."""
        groups = [self._scan(parts, probes[start : start + _GROUP], depth) for start in range(0, len(probes), _GROUP)]
        if not groups:
            return Scan(np.empty((0, depth), np.float32), np.empty((0, depth), np.int64), np.empty(0, np.float32))
        return Scan(*(np.concatenate(found) for found in zip(*groups, strict=True)))

    def _scan(self, parts: Sequence[Part], probes: Vectors, depth: int) -> Scan:
        coded = CodedProbes.of(probes)
        if len(probes) < self._multiplier.least:
            scan_slice = partial(_scan_by_faiss, coded.codes)
        else:
            scan_slice = partial(_scan_by_products, self._multiplier.of(coded.codes))
        best, tasks, start = Best(len(probes), depth), list[Future[None]](), 0
        all_terms = [Terms.of(segment.coding, coded) for segment, _ in parts]  # before others need the cores
        for (segment, alive), terms in zip(parts, all_terms, strict=True):
            for piece in segment.slices:
                living = None if alive is None else alive[piece.start : piece.start + len(piece)]
                if living is None or living.any():
                    some = None if living is None or living.all() else living
                    tasks.append(self._pool.submit(scan_slice, piece, some, terms, start + piece.start, best))
            start += len(segment)
        for task in tasks:
            task.result()
        slack = np.max([terms.slack for terms in all_terms], axis=0, initial=0.0)
        return Scan(*best.sorted(), np.broadcast_to(slack, len(probes)).astype(np.float32))

    def close(self) -> None:
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True, eq=False)
class CodedProbes:
    """Probes in codes of their own, each in its own scale. Lengths are Euclidean."""

    exact: Floats
    """(m, dim)"""
    codes: NDArray[np.float32]
    """(m, width) whole numbers in [-127, 127]."""
    scales: Floats
    """(m,)"""
    lengths: Floats
    """(m,)"""
    residuals: Floats
    """(m,) how far each is from what its code stands for."""

    @classmethod
    def of(cls, probes: Vectors) -> Self:
        exact = probes.astype(np.float64)
        scales = LARGEST / np.maximum(np.abs(exact).max(axis=1), 1e-30)
        codes = np.zeros((len(probes), width_of(probes.shape[1])), dtype=np.float32)
        codes[:, : probes.shape[1]] = np.rint(exact * scales[:, None])
        apart = exact - codes[:, : probes.shape[1]] / scales[:, None]
        return cls(exact, codes, scales, np.linalg.norm(exact, axis=1), np.linalg.norm(apart, axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What turns products of codes into scores: factors · product + offsets, with an error below slack. All (m,)."""

    offsets: Floats
    factors: Floats
    slack: Floats

    @classmethod
    def of(cls, coding: Coding, probes: CodedProbes) -> Self:
        unseen = coding.reach * probes.residuals + coding.residual * probes.lengths
        length = coding.reach + float(np.linalg.norm(coding.centre))
        rounded = (probes.codes.shape[1] + 8) * _HALF_ULP * length * (probes.lengths + probes.residuals)
        offsets = probes.exact @ coding.centre.astype(np.float64)
        return cls(offsets, 1.0 / (coding.scale * probes.scales), unseen + rounded)


class Best:
    """The highest scores so far of each of m probes, brought together by several threads."""

    def __init__(self, count: int, depth: int) -> None:
        self._scores = np.full((count, depth), -np.inf, dtype=np.float32)
        self._rows = np.full((count, depth), -1, dtype=np.int64)
        self._lock = threading.Lock()
        self.depth = depth
        self.floors = self._scores.min(axis=1, initial=np.inf)
        """(m,) what is not above it does not come in. Replaced, never changed."""

    def take(self, scores: NDArray[np.float32], rows: Numbers) -> None:
        """Both (m, any)."""
        with self._lock:
            scores, rows = np.hstack([self._scores, scores]), np.hstack([self._rows, rows])
            if scores.shape[1] > self.depth:
                kept = np.argpartition(scores, -self.depth, axis=1)[:, -self.depth :]
                scores, rows = np.take_along_axis(scores, kept, axis=1), np.take_along_axis(rows, kept, axis=1)
            self._scores, self._rows = scores, rows
            self.floors = scores.min(axis=1, initial=np.inf)

    def sorted(self) -> Tables:
        """Scores and rows (m, depth); best first, equal ones by row."""
        order = np.lexsort((self._rows, -self._scores), axis=1)
        return np.take_along_axis(self._scores, order, axis=1), np.take_along_axis(self._rows, order, axis=1)


def _scan_by_faiss(
    codes: NDArray[np.float32], piece: Slice, alive: Mask | None, terms: Terms, start: int, best: Best
) -> None:
    parameters = None if alive is None else _only(alive)
    products, rows = piece.index.search(codes, min(best.depth, len(piece)), params=parameters)
    scores = products * terms.factors[:, None] + terms.offsets[:, None]
    missing = rows < 0
    best.take(np.where(missing, -np.inf, scores).astype(np.float32), np.where(missing, -1, rows + start))


@contextmanager
def one_thread() -> Iterator[None]:
    """FAISS starts no others for this thread: they would spin a while when done, in the way of the next scan."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _only(alive: Mask) -> Any:
    parameters = faiss.SearchParameters()
    parameters.sel = selector(alive)
    return parameters


def selector(alive: Mask) -> Any:
    """What has FAISS leave out the other rows (n,). Keeps what it reads."""
    return faiss.IDSelectorBitmap(np.packbits(alive, bitorder="little"))  # type: ignore[call-arg, arg-type]


def _scan_by_products(
    products_of: Products, piece: Slice, alive: Mask | None, terms: Terms, start: int, best: Best
) -> None:
    count = len(terms.factors)
    size = max(1, _BLOCK_BYTES // piece.codes.shape[1])
    scratch = np.empty((size, piece.codes.shape[1]), dtype=np.uint8)
    pending: list[NDArray[np.int64]] = []
    values: list[NDArray[Any]] = []
    for first in range(0, len(piece), size):
        block = piece.codes[first : first + size]
        products = products_of(np.bitwise_xor(block, BIAS, out=scratch[: len(block)]).view(np.int8))
        if alive is not None:
            products[~alive[first : first + size]] = _lowest(products.dtype)
        hits = np.flatnonzero(products > _bounds(best.floors, terms, products.dtype))
        pending.append(hits + first * count)
        values.append(products.ravel()[hits])
        if sum(map(len, pending)) > count * best.depth or first + size >= len(piece):
            rows, probes = np.divmod(np.concatenate(pending), count)
            scores = np.concatenate(values) * terms.factors[probes] + terms.offsets[probes]
            best.take(*_by_probe(probes, scores.astype(np.float32), rows + start, count))
            pending, values = [], []


def _lowest(kind: np.dtype[Any]) -> float:
    """Less than any product that is not of a dead row."""
    return -np.inf if kind.kind == "f" else np.iinfo(kind).min


def _bounds(floors: NDArray[np.float32], terms: Terms, kind: np.dtype[Any]) -> NDArray[Any]:
    """(m,) products of which none below comes in, whatever the rounding."""
    bounds = (floors - terms.offsets) / terms.factors
    bounds -= 1 + 1e-6 * np.abs(bounds)
    return bounds.astype(kind) if kind.kind == "f" else bounds.clip(np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)


def _by_probe(probes: Numbers, scores: NDArray[np.float32], rows: Numbers, count: int) -> Tables:
    """(h,) each -> (count, the most that one probe has), filled up with -inf and -1."""
    order = np.argsort(probes.astype(np.int16), kind="stable")
    many = np.bincount(probes, minlength=count)
    columns = np.arange(len(probes)) - np.repeat(np.cumsum(many) - many, many)
    table = np.full((count, many.max(initial=0)), -np.inf, dtype=np.float32)
    numbers = np.full(table.shape, -1, dtype=np.int64)
    table[probes[order], columns] = scores[order]
    numbers[probes[order], columns] = rows[order]
    return table, numbers


def products_in_int8(codes: NDArray[np.float32]) -> Products:
    packed = numkong.dots_pack(codes.astype(np.int8))
    return lambda block: np.asarray(numkong.dots_packed(block, packed))


def products_in_float32(codes: NDArray[np.float32]) -> Products:
    """In so many small products that OpenBLAS starts no threads: they would wait for ours by spinning."""
    columns = np.ascontiguousarray(codes.T)
    together = max(1, _UNSHARED // columns.size)

    def products(block: NDArray[np.int8]) -> NDArray[np.float32]:
        rows = np.zeros((-(-len(block) // together), together, block.shape[1]), dtype=np.float32)
        rows.reshape(-1, block.shape[1])[: len(block)] = block
        return (rows @ columns).reshape(-1, columns.shape[1])[: len(block)]

    return products


@dataclass(frozen=True, slots=True)
class Multiplier:
    of: Callable[[NDArray[np.float32]], Products]
    """From the codes of probes (m, width)."""
    least: int
    """Probes from which on it is faster than FAISS."""


MULTIPLIERS: Final = MappingProxyType(
    {"int8": Multiplier(products_in_int8, 3), "float32": Multiplier(products_in_float32, 14)}
)
"""int8 needs numkong."""
