"""The nearest Templates by their int8 codes, and how far off those scores can be.

With a row x = centre + y + e, where y is what its code stands for and |e| <= residual, and a probe p = q + f, where q
is what its own code stands for:

    <x, p> = <centre, p> + <y, q> + <y, f> + <e, p>

The scan finds the first two terms, the second in integers; the others are at most |y||f| + |e||p| by Cauchy-Schwarz.

Probes are multiplied with a block of codes at a time, and only what is above the lowest score kept so far is looked at
again. In int8 by numkong, at the speed of memory for one probe, where FAISS's scan of int8 codes is held up by turning
them into floats (docs/decisions/0022-codes-without-faiss.md); where numkong is not installed, in float32. Both find the
same integers.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from faces.embed import Vectors
from index.segment import LARGEST, Coding, Numbers, Segment

try:
    import numkong
except ImportError:  # it is not built for every processor
    numkong = None  # type: ignore[assignment]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Tables = tuple[NDArray[np.float32], Numbers]
Products = Callable[[NDArray[np.int8]], NDArray[Any]]
"""Codes of rows (b, dim) -> their products (b, m) with those of the probes."""
Part = tuple[Segment, Mask | None]
"""A Segment and which of its rows (n,) are alive; None when all are."""

_GROUP: Final = 64  # probes multiplied at once
_BLOCK_BYTES: Final = 32 << 20  # of codes multiplied with one probe at once; with more probes, as many times fewer
_SMALLEST_BLOCK: Final = 1 << 20  # with their products they fit the cache of one core
_ROW_BY_ROW: Final = 256  # dimensions a probe from which on numkong is faster row by row than with packed probes
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
        self._multiplier = multiplier or MULTIPLIERS[FASTEST]
        self._threads = threads or scan_threads()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="scan")

    def scan(self, parts: Sequence[Part], probes: Vectors, depth: int) -> Scan:
        """The `depth` nearest living rows of all parts, for each probe (m, dim), as far as codes can tell."""
        groups = [self._scan(parts, probes[start : start + _GROUP], depth) for start in range(0, len(probes), _GROUP)]
        if not groups:
            return Scan(np.empty((0, depth), np.float32), np.empty((0, depth), np.int64), np.empty(0, np.float32))
        return Scan(*(np.concatenate(found) for found in zip(*groups, strict=True)))

    def _scan(self, parts: Sequence[Part], probes: Vectors, depth: int) -> Scan:
        coded = CodedProbes.of(probes)
        products_of = self._multiplier(coded.codes)
        all_terms = [Terms.of(segment.coding, coded) for segment, _ in parts]
        best, pieces, start = Best(len(probes), depth), deque[_Piece](), 0
        for (segment, alive), terms in zip(parts, all_terms, strict=True):
            pieces += _living_pieces(segment, alive, terms, start)
            start += len(segment)

        def scan_some() -> None:
            sieve = _Sieve(products_of, best)
            while pieces:
                try:
                    piece = pieces.popleft()
                except IndexError:  # another thread was faster
                    break
                sieve.scan(piece)
            sieve.hand_over()

        for task in [self._pool.submit(scan_some) for _ in range(min(self._threads, len(pieces)))]:
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
    codes: NDArray[np.int8]
    """(m, dim) in [-127, 127]."""
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
        codes = np.rint(exact * scales[:, None])
        apart = exact - codes / scales[:, None]
        return cls(exact, codes.astype(np.int8), scales, np.linalg.norm(exact, axis=1), np.linalg.norm(apart, axis=1))


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


class _Piece(NamedTuple):
    """A Slice that has living rows."""

    codes: NDArray[np.int8]
    alive: Mask | None
    """None: all are."""
    terms: Terms
    start: int
    """The number of its first row, counted through all Segments."""


def _living_pieces(segment: Segment, alive: Mask | None, terms: Terms, start: int) -> Iterator[_Piece]:
    """start: the number of the Segment's first row."""
    for piece in segment.slices:
        living = None if alive is None else alive[piece.start : piece.start + len(piece)]
        if living is None or living.all():
            yield _Piece(piece.codes, None, terms, start + piece.start)
        elif living.any():
            yield _Piece(piece.codes, living, terms, start + piece.start)


class _Sieve:
    """One thread's part of a scan: what is above the lowest scores kept so far, handed over when it is worth it."""

    def __init__(self, products_of: Products, best: Best) -> None:
        self._products_of, self._best = products_of, best
        self._found: list[tuple[Numbers, NDArray[np.float32], Numbers]] = []

    def scan(self, piece: _Piece) -> None:
        codes, alive, terms, start = piece
        count = len(terms.factors)
        size = max(1, max(_BLOCK_BYTES // count, _SMALLEST_BLOCK) // codes.shape[1])
        for first in range(0, len(codes), size):
            products = self._products_of(codes[first : first + size])
            if alive is not None:
                products[~alive[first : first + size]] = _lowest(products.dtype)
            hits = np.flatnonzero(products > _bounds(self._best, terms, products))
            rows, probes = np.divmod(hits, count)
            scores = products.ravel()[hits] * terms.factors[probes] + terms.offsets[probes]
            self._found.append((probes, scores.astype(np.float32), rows + (start + first)))
            if sum(len(found) for found, _, _ in self._found) >= count * self._best.depth:
                self.hand_over()

    def hand_over(self) -> None:
        """To `best`."""
        if self._found:
            probes, scores, rows = (np.concatenate(found) for found in zip(*self._found, strict=True))
            self._found = []
            self._best.take(*_by_probe(probes, scores, rows, len(self._best.floors)))


def _lowest(kind: np.dtype[Any]) -> float:
    """Less than any product that is not of a dead row."""
    return -np.inf if kind.kind == "f" else np.iinfo(kind).min


def _bounds(best: Best, terms: Terms, products: NDArray[Any]) -> NDArray[Any]:
    """(m,) what a product (b, m) is to be above to come in, whatever the rounding."""
    lowest, floors = _lowest(products.dtype), best.floors
    bounds: NDArray[Any]
    if not np.isneginf(floors).any():
        bounds = (floors - terms.offsets) / terms.factors
        bounds -= 1 + 1e-6 * np.abs(bounds)
        if products.dtype.kind != "f":
            bounds = bounds.clip(lowest, np.iinfo(products.dtype).max)
    elif len(products) > best.depth:
        reached = np.partition(products, -best.depth, axis=0)[-best.depth]  # by as many rows as come in
        bounds = np.maximum(reached, lowest + 1) - 1
    else:
        bounds = np.full(len(floors), lowest)
    return bounds.astype(products.dtype)


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


def products_in_int8(codes: NDArray[np.int8]) -> Products:
    """By numkong."""
    if codes.size and codes.shape[1] >= _ROW_BY_ROW * len(codes):
        return lambda block: np.stack([np.asarray(numkong.inner(probe[None], block)).ravel() for probe in codes]).T
    packed = numkong.dots_pack(codes)
    return lambda block: np.asarray(numkong.dots_packed(block, packed))


def products_in_float32(codes: NDArray[np.int8]) -> Products:
    """In so many small products that OpenBLAS starts no threads: they would wait for ours by spinning."""
    columns = np.ascontiguousarray(codes.T, dtype=np.float32)
    together = max(1, _UNSHARED // columns.size)

    def products(block: NDArray[np.int8]) -> NDArray[np.float32]:
        rows = np.zeros((-(-len(block) // together), together, block.shape[1]), dtype=np.float32)
        rows.reshape(-1, block.shape[1])[: len(block)] = block
        return (rows @ columns).reshape(-1, columns.shape[1])[: len(block)]

    return products


Multiplier = Callable[[NDArray[np.int8]], Products]
"""From the codes of probes (m, dim)."""

FASTEST: Final = "float32" if numkong is None else "int8"
"""Of what is installed."""

MULTIPLIERS: Final = MappingProxyType({"int8": products_in_int8, "float32": products_in_float32})
"""int8 needs numkong."""
