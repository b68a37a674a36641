"""Batches of views, with the teacher's embedding of each where a method asks for it."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faces.embed import ModelEmbedder, Vectors
from faces.space import Recipe
from kd.data.people import People
from kd.data.views import View, augmented_view

_AHEAD: Final = 4  # batches made before they are asked for


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    crops: NDArray[np.uint8]
    """(n, height, width, 3) RGB, in the student's Recipe."""
    labels: NDArray[np.int64]
    """(n,); -1 where the view shows nobody in particular."""
    targets: Vectors | None
    """(n, dim) unit rows: the teacher's embedding of the same views; None where no method asks."""


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """Which views an epoch shows: view `epoch mod views` of every photo, in an order drawn from the seed."""

    size: int
    """Views in a batch."""
    views: int
    """Different views of one photo; the teacher embeds each once."""
    mixup: float
    seed: int


class Targets:
    """The teacher's embedding of every view, computed at first use and kept on disk as float16."""

    def __init__(self, file: Path, teacher: ModelEmbedder, people: People, plan: ViewPlan) -> None:
        shape = (plan.views, len(people.labels), teacher.space.dim)
        if file.is_file():
            self._kept = np.load(file, mmap_mode="r+")
        if not file.is_file() or self._kept.shape != shape:
            self._kept = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
        self._teacher = teacher

    def of(self, number: int, photos: NDArray[np.int64], views: list[View]) -> Vectors:
        """(n, dim) unit rows for view `number` of `photos`."""
        rows = np.array(self._kept[number, photos], dtype=np.float32)
        missing = np.flatnonzero(~rows.any(axis=1))  # an embedding is never zero
        if missing.size:
            crops = np.stack([views[i].crop(self._teacher.card.crop) for i in missing])
            self._kept[number, photos[missing]] = self._teacher.embed(crops)
            rows = np.array(self._kept[number, photos], dtype=np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def batches(people: People, recipe: Recipe, plan: ViewPlan, targets: Targets | None, *, start: int) -> Generator[Batch]:
    """Batches without end from step `start` (0-based) on, the same for the same plan wherever one starts."""
    per_epoch = len(people.labels) // plan.size

    def make(step: int) -> Batch:
        epoch, within = divmod(step, per_epoch)
        order = np.random.default_rng([plan.seed, epoch]).permutation(len(people.labels))
        photos = order[within * plan.size : (within + 1) * plan.size]
        number = epoch % plan.views
        views = [augmented_view(people.crops, int(i), number, seed=plan.seed, mixup=plan.mixup) for i in photos]
        labels = np.where([view.mixed for view in views], -1, people.labels[photos])
        crops = np.stack([view.crop(recipe) for view in views])
        return Batch(crops, labels, targets.of(number, photos, views) if targets else None)

    with ThreadPoolExecutor(max_workers=1) as pool:  # one, so that the teacher is asked by one thread at a time
        waiting = [pool.submit(make, step) for step in range(start, start + _AHEAD)]
        step = start + _AHEAD
        try:
            while True:
                waiting.append(pool.submit(make, step))
                yield waiting.pop(0).result()
                step += 1
        finally:
            for future in waiting:
                future.cancel()
