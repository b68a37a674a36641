"""A stand-in for what `index.gpu` uses of faiss-gpu: its results and its rules, on the processor.

It shows that our side keeps to these rules. That faiss-gpu has them, and no others, only a GPU can show.
"""

import threading
import weakref
from typing import Final

import numpy as np

from faces.embed import Vectors
from index.segment import Numbers

MOST: Final = 2048


class FakeGpus:
    """The module faiss of faiss-gpu, on a machine with `count` devices for `room` rows each."""

    def __init__(self, count: int, room: int = 1 << 30) -> None:
        self._count, self._room = count, room
        self._owners: dict[int, int] = {}
        self.uploads = 0
        self._held: weakref.WeakSet[FakeIndex] = weakref.WeakSet()

    def get_num_gpus(self) -> int:
        return self._count

    def StandardGpuResources(self) -> "FakeResources":  # noqa: N802 - FAISS's name
        return FakeResources()

    def GpuIndexFlatConfig(self) -> "FakeConfig":  # noqa: N802
        return FakeConfig()

    def GpuIndexFlatIP(self, resources: "FakeResources", dim: int, config: "FakeConfig") -> "FakeIndex":  # noqa: N802
        assert config.useFloat16
        assert config.use_cuvs is False
        assert 0 <= config.device < self._count
        index = FakeIndex(self, resources, dim, config.device)
        self._held.add(index)
        return index

    def rows_on(self, device: int) -> int:
        """How many rows are in its memory."""
        return sum(len(index.rows) for index in self._held if index.device == device)

    def require_room(self, device: int, rows: int) -> None:
        self.uploads += 1
        if self.rows_on(device) + rows > self._room:
            raise RuntimeError("Error: 'err == cudaSuccess' failed: alloc fail type FlatData (cudaMalloc error 2)")

    def require_one_thread(self, device: int) -> None:
        assert self._owners.setdefault(device, threading.get_ident()) == threading.get_ident()


class FakeResources:
    def __init__(self) -> None:
        self.thread = threading.get_ident()


class FakeConfig:
    def __init__(self) -> None:
        self.device, self.useFloat16, self.use_cuvs = 0, False, True


class FakeIndex:
    """fp16 rows and probes, products added up in float32; no removal, no selector."""

    def __init__(self, of: FakeGpus, resources: FakeResources, dim: int, device: int) -> None:
        self._of, self._resources, self.device = of, resources, device
        self.rows = np.empty((0, dim), np.float16)

    def add(self, rows: Vectors) -> None:
        self._require_owner()
        assert rows.dtype == np.float32
        assert rows.flags.c_contiguous
        self._of.require_room(self.device, len(rows))
        self.rows = np.vstack([self.rows, rows.astype(np.float16)])

    def search(self, probes: Vectors, k: int) -> tuple[Vectors, Numbers]:
        self._require_owner()
        if not 0 < k <= MOST:
            raise RuntimeError(f"GPU index only supports min/max-K selection up to {MOST}")
        products = probes.astype(np.float16).astype(np.float32) @ self.rows.astype(np.float32).T
        order = np.argsort(-products, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(products, order, axis=1), order

    def _require_owner(self) -> None:
        self._of.require_one_thread(self.device)
        assert self._resources.thread == threading.get_ident()
