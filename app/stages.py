"""The stages of `index.identify` as work that requests share.

What is batched was measured: docs/decisions/0018-batches-between-stages.md. Photos are looked at one by one, on as many
threads as there are cores; Crops are embedded, and probes searched, together.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic

import numpy as np

from app.admission import Ticket
from app.batching import Item, Result, Stage
from app.workers import Ran, Workers, supervised
from faces.detect import Detects
from faces.embed import Crops, ModelEmbedder, Vectors
from faces.space import Recipe
from index.gallery import LocalGallery
from index.identify import Looked, Near, Photo, look

CROPS: Final = 16
"""In one run: with more, none is faster, and whoever comes next waits longer."""
_PROBES: Final = 64
_EVERY: Final = 1.0  # seconds between two looks at the workers

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Workload:
    """What the stages may take."""

    cores: int
    stuck_after: float
    """Seconds of one run, before it is given up."""
    drain: float
    """Seconds that what was begun may take at the end."""


@dataclass(frozen=True, slots=True, eq=False)
class _Timed(Generic[Result]):
    value: Result
    laps: dict[str, float]
    """Milliseconds by step."""


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    photo: Photo
    recipe: Recipe


@dataclass(frozen=True, slots=True, eq=False)
class _Embed:
    embedder: ModelEmbedder
    crops: Crops


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    gallery: LocalGallery
    embedder: ModelEmbedder
    probes: Vectors
    top_k: int


class SharedStages:
    """What all requests share: the Stages of the pipeline and their Workers. No batch holds Crops for two models."""

    def __init__(
        self, detector: Detects, work: Workload, clock: Clock = time.perf_counter, ran: Ran = lambda *_: None
    ) -> None:
        self.detector = detector
        self._clock = clock
        self.looking: Final[Stage[_Look, _Timed[Looked]]] = Stage("look", self._look)
        self.embedding: Final[Stage[_Embed, _Timed[Vectors]]] = Stage(
            "embed",
            self._embed,
            limit=CROPS,
            size=lambda item: max(len(item.crops), 1),
            key=lambda item: item.embedder,
            patient=True,
        )
        self.searching: Final[Stage[Search, _Timed[Near]]] = Stage(
            "search",
            self._search,
            limit=_PROBES,
            size=lambda item: len(item.probes),
            key=lambda item: (item.gallery, item.embedder.space, item.top_k),
        )
        self.workers: Final = Workers(
            (self.looking, self.embedding, self.searching), work.cores, stuck_after=work.stuck_after, ran=ran
        )

    def _look(self, items: Sequence[_Look]) -> list[_Timed[Looked]]:
        found = []
        for item in items:
            watch = Stopwatch(self._clock)
            looked = look(item.photo, self.detector, item.recipe, watch.lap)
            found.append(_Timed(looked, watch.laps))
        return found

    def _embed(self, items: Sequence[_Embed]) -> list[_Timed[Vectors]]:
        rows, laps = self._timed("embed", lambda: items[0].embedder.embed(np.concatenate([i.crops for i in items])))
        return [_Timed(part, laps) for part in _shared_out(rows, [len(item.crops) for item in items])]

    def _search(self, items: Sequence[Search]) -> list[_Timed[Near]]:
        first, probes = items[0], np.concatenate([item.probes for item in items])

        def search() -> Near:
            stats = first.gallery.stats()
            return Near(stats, first.gallery.search(probes, first.top_k, space=first.embedder.space))

        near, laps = self._timed("search", search)
        parts = _shared_out(near.candidates, [len(item.probes) for item in items])
        return [_Timed(Near(near.gallery, part), laps) for part in parts]

    def _timed(self, name: str, run: Callable[[], Item]) -> tuple[Item, dict[str, float]]:
        watch = Stopwatch(self._clock)
        value = run()
        watch.lap(name)
        return value, watch.laps


@contextmanager
def open_stages(
    detector: Detects, work: Workload, clock: Clock = time.perf_counter, ran: Ran = lambda *_: None
) -> Iterator[SharedStages]:
    """SharedStages whose workers are supervised; drained at the end."""
    stages = SharedStages(detector, work, clock, ran)
    with supervised(stages.workers, every=_EVERY, patience=work.drain):
        yield stages


class RequestStages:
    """The Stages of one request: the shared ones, on its Ticket and by one model, with what they cost."""

    def __init__(self, shared: SharedStages, ticket: Ticket, embedder: ModelEmbedder, gallery: LocalGallery) -> None:
        self._shared = shared
        self._ticket = ticket
        self._embedder = embedder
        self._gallery = gallery
        self.laps: Final[dict[str, float]] = {}
        """Milliseconds by step; of a shared run, all of it."""

    def look(self, photo: Photo) -> Looked:
        return self._result(self._shared.looking, _Look(photo, self._embedder.card.crop))

    def embed(self, crops: Crops) -> Vectors:
        """A photo of many faces takes several turns, so that others come between."""
        starts = range(0, max(len(crops), 1), CROPS)
        parts = (_Embed(self._embedder, crops[start : start + CROPS]) for start in starts)
        return np.concatenate([self._result(self._shared.embedding, part) for part in parts])

    def search(self, probes: Vectors, top_k: int) -> Near:
        return self._result(self._shared.searching, Search(self._gallery, self._embedder, probes, top_k))

    def _result(self, stage: Stage[Item, _Timed[Result]], item: Item) -> Result:
        timed = self._ticket.result(self._shared.workers, stage, item)
        for step, spent in timed.laps.items():
            self.laps[step] = self.laps.get(step, 0.0) + spent
        return timed.value


class Stopwatch:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock()
        self.laps: dict[str, float] = {}

    def lap(self, step: str) -> None:
        """Note the milliseconds since the lap before."""
        now = self._clock()
        self.laps[step] = (now - self._last) * 1000
        self._last = now


def _shared_out(rows: Any, counts: Sequence[int]) -> list[Any]:
    """The rows of each, in turn."""
    ends = np.cumsum(counts)
    return [rows[end - count : end] for end, count in zip(ends, counts, strict=True)]
