"""An immutable part of the cache (plain for now)."""

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from faces.embed import Vectors
from faces.files import write_whole
from index.errors import SegmentDamaged
from index.flat import flat

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    ids: Numbers
    owners: Numbers
    halves: NDArray[np.float16]

    @classmethod
    def build(cls, ids: Numbers, owners: Numbers, vectors: Vectors) -> Self:
        return cls(ids, owners, vectors.astype(np.float16))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        return int(self.halves.shape[1])

    def scan(
        self, probes: Vectors, depth: int, alive: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], Numbers, NDArray[np.float32]]:
        return flat(self.ids, self.owners, self.halves.astype(np.float32)).scan(probes, depth, alive)

    def rows_of(self, rows: Numbers) -> Vectors:
        return self.halves[rows].astype(np.float32)

    def with_owners(self, owners: Numbers) -> Self:
        return replace(self, owners=owners)

    def save(self, path: Path) -> None:
        data = io.BytesIO()
        np.savez(data, ids=self.ids, owners=self.owners, halves=self.halves)
        write_whole(path, hashlib.sha256(data.getvalue()).digest() + data.getvalue())

    @classmethod
    def load(cls, path: Path) -> Self:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SegmentDamaged("cannot be read", str(path), str(error)) from None
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            raise SegmentDamaged("damaged", str(path), "It is made anew.")
        with np.load(io.BytesIO(data[32:])) as found:
            return cls(found["ids"], found["owners"], found["halves"])
