"""The engine of NVIDIA GPUs: rows of segments as fp16 in the memory of devices, found by faiss-gpu.

Written to faiss-gpu's sources and tried with a stand-in for it in the tests: it has not run on a GPU yet.

The rows on a device are the stored ones to the bit; a probe is rounded to fp16, and products are added up in float32.
With a row x, a probe p = q + f and q what fp16 makes of it, <x, p> = <x, q> + <x, f>: the device finds the first, with
an error that grows with the dimension, and the second is at most |x||f|.

FAISS cannot take rows out of an index on a GPU, nor pass over some. So erased rows are searched, too, and dropped from
what comes back; when there are too many of them, the rest is uploaded anew. What a compaction leaves behind is freed as
soon as no Snapshot has it any more.
"""

import logging
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

import faiss
import numpy as np

from faces.embed import Vectors
from faces.errors import DeviceUnavailable
from index.scan import Best, Floats, Mask, Part, Scan, Scanner
from index.segment import Coding, Numbers, Segment

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
_MOST: Final = 2048  # rows that a search on a GPU brings up
_SPARE: Final = 256  # erased rows of a segment that are searched and dropped; more, and it is uploaded anew
# Additions of tensor cores cut off what float32 does not hold, rather than round it, and do so in an order of their own
# (Fasi et al., Numerical behavior of NVIDIA tensor cores, 2021): up to 2^-23 of the sum each. Twice that, to be sure.
_CUT_OFF: Final = 2.0**-22
_ADDED_BESIDES: Final = 8  # additions, for what else is rounded


class GpuScanner:
    """Scans on all the devices it is given, each with a share of the segments. For any number of threads."""

    def __init__(self, devices: Sequence[int], library: Any = faiss) -> None:
        """library: the module faiss, as faiss-gpu installs it."""
        self._owners = [Owner(device, library) for device in devices]
        self._deep = Scanner()
        self._places: WeakKeyDictionary[Coding, tuple[Owner, int]] = WeakKeyDictionary()
        self._placing = threading.Lock()

    def scan(self, parts: Sequence[Part], probes: Vectors, depth: int) -> Scan:
        """As Scanner.scan; what is deeper than a GPU can look is scanned by the processor.

        Raises DeviceUnavailable when a device fails, as when its memory is full.
        """
        if depth > _MOST - _SPARE:
            return self._deep.scan(parts, probes, depth)
        rounded = probes.astype(np.float16).astype(np.float32)
        best, slack = Best(len(probes), depth), np.zeros(len(probes))
        work: dict[Owner, list[_Piece]] = defaultdict(list)
        start = 0
        for segment, alive in parts:
            slack = np.maximum(slack, slack_of(segment.coding, probes, rounded))
            living = len(segment) if alive is None else int(np.count_nonzero(alive))
            if living and len(probes):
                work[self._owner_of(segment)].append(_Piece(segment, alive, living, start))
            start += len(segment)
        tasks = [owner.submit(partial(owner.search, pieces, rounded, best)) for owner, pieces in work.items()]
        for task in tasks:
            task.result()
        return Scan(*best.sorted(), slack.astype(np.float32))

    def close(self) -> None:
        for owner in self._owners:
            owner.close()
        self._deep.close()

    def _owner_of(self, segment: Segment) -> "Owner":
        """Where its rows are; at first, where there are the fewest."""
        with self._placing:
            if segment.coding not in self._places:
                rows = dict.fromkeys(self._owners, 0)
                for owner, count in self._places.values():
                    rows[owner] += count
                self._places[segment.coding] = min(self._owners, key=rows.__getitem__), len(segment)
            return self._places[segment.coding][0]


def slack_of(coding: Coding, probes: Vectors, rounded: Vectors) -> Floats:
    """(m,) how far off a device's score can be: probes (m, dim), and what fp16 made of them."""
    lost = np.linalg.norm(probes.astype(np.float64) - rounded, axis=1)
    lengths = np.linalg.norm(rounded.astype(np.float64), axis=1)
    added = (probes.shape[1] + _ADDED_BESIDES) * _CUT_OFF * lengths
    slack: Floats = coding.longest * 1.000001 * (lost + added)
    return slack


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """A segment to search."""

    segment: Segment
    alive: Mask | None
    living: int
    start: int
    """The number of its first row, counted through all segments."""


@dataclass(frozen=True, slots=True, eq=False)
class _Upload:
    """Rows of a segment on a device."""

    index: Any
    rows: Numbers
    """(u,) the number in the segment of each."""
    of: "weakref.ref[Coding]"

    def living(self, piece: _Piece) -> int:
        """How many of its rows count."""
        if piece.alive is None or len(self.rows) == len(piece.segment):
            return min(piece.living, len(self.rows))
        return int(np.count_nonzero(piece.alive[self.rows]))

    def serves(self, piece: _Piece) -> bool:
        """Whether it has every row that counts, and few others."""
        return self.living(piece) == piece.living and len(self.rows) - piece.living <= _SPARE


class Owner:
    """A device, and the one thread that speaks to it: faiss-gpu bears no two at once, be they searches alone."""

    def __init__(self, device: int, library: Any) -> None:
        self._device, self._library = device, library
        self._resources: Any = None
        self._uploads: dict[int, _Upload] = {}  # by the id of a Coding; the thread's own, as everything on the device
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"gpu {device}", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], T]) -> "Future[T]":
        """Have the thread do it, in its turn."""
        if not self._thread.is_alive():
            raise RuntimeError("closed")
        future: Future[T] = Future()

        def run() -> None:
            nonlocal job
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
                future.set_exception(error)
            else:
                del job  # else the thread keeps what was searched, deleted or not, until its next job
                future.set_result(result)

        self._jobs.put(run)
        return future

    def search(self, pieces: Sequence[_Piece], probes: Vectors, best: Best) -> None:
        """Bring the nearest rows of these segments to `best`. For the thread. Raises DeviceUnavailable."""
        try:
            for piece in pieces:
                self._search(piece, probes, best)
        except RuntimeError as error:  # all that FAISS raises
            _LOG.error("cuda:%d: %s", self._device, error)
            raise DeviceUnavailable(
                "the GPU does not hold or search these rows",
                f"cuda:{self._device}",
                "The log has its reason. A row takes 2 bytes a dimension of its memory; --device cpu does without it.",
            ) from None

    def close(self) -> None:
        """When all that was submitted is done."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        self._uploads.clear()
        self._resources = None

    def _search(self, piece: _Piece, probes: Vectors, best: Best) -> None:
        upload = self._uploads.get(id(piece.segment.coding))
        if upload is None or not upload.serves(piece):
            upload = self._uploaded(piece)
        erased = len(upload.rows) - piece.living
        scores, near = upload.index.search(probes, min(best.depth + erased, len(upload.rows)))
        rows = upload.rows[near]
        missing = near < 0
        if piece.alive is not None:
            missing |= ~piece.alive[rows]
        best.take(np.where(missing, -np.inf, scores).astype(np.float32), np.where(missing, -1, rows + piece.start))

    def _uploaded(self, piece: _Piece) -> _Upload:
        """The rows that count, in place of what is there of this segment."""
        key, library = id(piece.segment.coding), self._library
        self._uploads.pop(key, None)  # its memory may be needed
        if self._resources is None:
            self._resources = library.StandardGpuResources()
        settings = library.GpuIndexFlatConfig()
        settings.device, settings.useFloat16 = self._device, True
        settings.use_cuvs = False  # another library's products, of whose rounding nothing is known here
        rows = np.arange(len(piece.segment)) if piece.alive is None else np.flatnonzero(piece.alive)
        index = library.GpuIndexFlatIP(self._resources, piece.segment.dim, settings)
        index.add(piece.segment.rows_of(rows))
        of = weakref.ref(piece.segment.coding, lambda _: self._jobs.put(partial(self._drop, key)))
        self._uploads[key] = upload = _Upload(index, rows, of)
        return upload

    def _drop(self, key: int) -> None:
        """In turn: whatever has the same id by now was submitted later."""
        self._uploads.pop(key, None)
