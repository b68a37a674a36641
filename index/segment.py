"""An immutable part of the cache: Templates as int8 codes to scan and fp16 rows to score exactly.

A row x is coded about the Segment's mean: rint(scale · (x - centre)), in [-127, 127]. Embeddings of faces lie in a cone
(dlib's have cosines of 0.8 and more with one another), so what differs between them is short, and coding only that errs
several times less. Nothing is trained, no row is clipped, and how far a score can be off is known: see `index.scan`.

A row costs 3 · dim + 16 bytes, and nothing as a Python object. A Segment is never changed, so any number of threads may
read it; the file it is kept in is `index.segment_file`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from faces.embed import Vectors

Numbers = NDArray[np.int64]
Halves = NDArray[np.float16]
Codes = NDArray[np.int8]

LARGEST: Final = 127
_SLICE_BYTES: Final = 32 << 20  # of codes: two cores share a Segment evenly, and a call costs 1 % of its scan
_BLOCK: Final = 8192  # rows coded at once
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """Some rows of a Segment: what one thread scans at a time."""

    start: int
    codes: Codes
    """(n, dim)"""

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Coding:
    """How rows became codes, and how far from them they are. Lengths are Euclidean.

    One for each set of rows, whoever owns them: what an engine makes of these rows it may keep as long as this lives.
    """

    centre: Vectors
    """(dim,)"""
    scale: float
    residual: float
    """No row is farther than this from what its code stands for."""
    reach: float
    """No code stands for what is farther than this from the centre."""

    @property
    def longest(self) -> float:
        """No row is longer."""
        return float(np.linalg.norm(self.centre)) + self.reach + self.residual


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    ids: Numbers
    """(n,) Template ids, rising."""
    owners: Numbers
    """(n,) the Subject's number."""
    halves: Halves
    """(n, dim) the stored embeddings."""
    coding: Coding
    slices: tuple[Slice, ...]
    """In the order of the rows; none when there are no rows."""

    @classmethod
    def build(cls, ids: Numbers, owners: Numbers, vectors: Vectors) -> Self:
        """ids (n,) rising, owners (n,), vectors (n, dim) unit rows whose values fp16 holds, as the store's do."""
        halves = vectors.astype(np.float16)
        centre = _mean(vectors)
        furthest = max((float(np.abs(block - centre).max()) for _, block in _blocks(vectors)), default=0.0)
        scale = np.float32(LARGEST / max(furthest, _ROUNDING))
        slices = empty_slices(*vectors.shape)
        residual = reach = 0.0
        for part in slices:
            for start, block in _blocks(vectors[part.start : part.start + len(part)]):
                apart = block - centre
                codes = np.rint(apart * scale)
                stands_for = codes / scale
                part.codes[start : start + len(block)] = codes
                residual = max(residual, _longest(apart - stands_for))
                reach = max(reach, _longest(stands_for))
        coding = Coding(centre, float(scale), _above(residual), _above(reach))
        return cls(ids, owners, halves, coding, slices)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        return int(self.halves.shape[1])

    def rows_of(self, rows: Numbers) -> Vectors:
        """(k,) row numbers -> (k, dim), as stored."""
        return self.halves[rows].astype(np.float32)

    def code_of(self, row: int) -> bytes:
        """The code of a row, as it lies in memory and in the file."""
        part = next(part for part in reversed(self.slices) if part.start <= row)
        return bytes(part.codes[row - part.start])

    def with_owners(self, owners: Numbers) -> Self:
        """The same rows, of other Subjects. Shares everything else."""
        return replace(self, owners=owners)


def slice_bounds(count: int, dim: int) -> list[int]:
    """Where the Slices of so many rows begin, and where the last ends: of about equal size."""
    parts = -(-count * dim // _SLICE_BYTES)
    return [count * part // parts for part in range(parts + 1)] if parts else [0]


def empty_slices(count: int, dim: int) -> tuple[Slice, ...]:
    """Slices for `count` rows, whose codes are yet to be written."""
    return tuple(
        Slice(start, np.empty((stop - start, dim), np.int8)) for start, stop in pairwise(slice_bounds(count, dim))
    )


def _mean(vectors: Vectors) -> Vectors:
    total = np.zeros(vectors.shape[1], dtype=np.float64)
    for _, block in _blocks(vectors):
        total += block.sum(axis=0, dtype=np.float64)
    return (total / max(len(vectors), 1)).astype(np.float32)


def _blocks(vectors: Vectors) -> Iterator[tuple[int, Vectors]]:
    return ((start, vectors[start : start + _BLOCK]) for start in range(0, len(vectors), _BLOCK))


def _above(length: float) -> float:
    """More than float32 arithmetic can have taken from a length that was found with it."""
    return length * 1.001 + _ROUNDING


def _longest(rows: Vectors) -> float:
    return float(np.sqrt(np.einsum("ij,ij->i", rows, rows).max()))
