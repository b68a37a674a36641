"""Rows as they are, in memory, to which more can be added: the part of a cache that is not yet in a segment."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from faces.embed import Vectors
from index.scan import Scan
from index.segment import Numbers

_SMALLEST: Final = 256  # rows of a buffer
_MANY: Final = 20  # probes, from which on FAISS multiplies with BLAS, and threads are worth their price
_EPSILON: Final = 2.0**-24  # of float32, half a unit in the last place


@dataclass(slots=True, eq=False)
class _Buffer:
    """Room for rows. What was written is never written again, so that prefixes of it can be read without a lock."""

    ids: Numbers
    owners: Numbers
    vectors: Vectors
    used: int = 0

    @classmethod
    def with_room(cls, rows: int, dim: int) -> "_Buffer":
        return cls(np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty((rows, dim), np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Flat:
    """The first rows of a buffer. Never changed, and searched exactly up to rounding."""

    ids: Numbers
    """(n,) rising."""
    owners: Numbers
    """(n,) number of the Subject of each."""
    vectors: Vectors
    """(n, dim) float32."""
    _buffer: _Buffer = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def extended(self, ids: Numbers, owners: Numbers, vectors: Vectors) -> "Flat":
        """With more rows after these. Copies these only when the buffer is full, or has others after them already.

        For one thread at a time.
        """
        start, end = len(self), len(self) + len(ids)
        buffer = self._buffer
        if buffer.used != start or end > len(buffer.ids):
            buffer = _Buffer.with_room(max(_SMALLEST, 2 * end), self.dim)
            buffer.ids[:start], buffer.owners[:start], buffer.vectors[:start] = self.ids, self.owners, self.vectors
        buffer.ids[start:end], buffer.owners[start:end], buffer.vectors[start:end] = ids, owners, vectors
        buffer.used = end
        return Flat(buffer.ids[:end], buffer.owners[:end], buffer.vectors[:end], buffer)

    def with_owners(self, owners: Numbers) -> "Flat":
        """The same rows, of these Subjects."""
        return Flat(self.ids, owners, self.vectors, _Buffer(self.ids, owners, self.vectors))

    def scan(self, probes: Vectors, depth: int, alive: NDArray[np.bool_] | None) -> Scan:
        """The `depth` nearest rows that are alive (n,), for each probe (m, dim); None: all are."""
        depth, probes = min(depth, len(self)), np.ascontiguousarray(probes)
        scores, rows = np.empty((len(probes), depth), np.float32), np.empty((len(probes), depth), np.int64)
        with _one_thread() if len(probes) < _MANY else nullcontext():
            faiss.knn_inner_product(
                faiss.swig_ptr(probes),
                faiss.swig_ptr(self.vectors),
                self.dim,
                len(probes),
                len(self),
                depth,
                faiss.swig_ptr(scores),
                faiss.swig_ptr(rows),
                None if alive is None else _only(alive),
            )
        scores[rows < 0] = -np.inf
        # Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., eq. 3.5; no row or probe is longer than 1.01
        slack = 1.03 * self.dim * _EPSILON
        return Scan(scores, rows, np.full(len(probes), slack, np.float32))

    def rows_of(self, rows: Numbers) -> Vectors:
        """(k,) row numbers -> (k, dim) float32, the numbers that are stored."""
        return self.vectors[rows]


@contextmanager
def _one_thread() -> Iterator[None]:
    """FAISS starts no others for this thread: they would spin a while when done, in the way of the next scan."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _only(alive: NDArray[np.bool_]) -> Any:
    """What has FAISS leave out the other rows (n,). Keeps what it reads."""
    return faiss.IDSelectorBitmap(np.packbits(alive, bitorder="little"))  # type: ignore[call-arg, arg-type]


def empty(dim: int) -> Flat:
    nothing = _Buffer.with_room(0, dim)
    return Flat(nothing.ids, nothing.owners, nothing.vectors, nothing)


def flat(ids: Numbers, owners: Numbers, vectors: Vectors) -> Flat:
    """Of copies of these rows."""
    return empty(vectors.shape[1]).extended(ids, owners, vectors)
