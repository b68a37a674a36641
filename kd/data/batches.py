"""Batches of views, with the teacher's embedding of each where a method asks for it."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faces.embed import Vectors
from faces.space import Recipe
from kd.data.people import People
from kd.data.targets import Targets
from kd.data.views import View, augmented_view

_AHEAD: Final = 4  # batches made before they are asked for


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    inputs: NDArray[np.uint8] | NDArray[np.float32]
    """What the network sees: (n, height, width, 3) uint8 RGB crops in its Recipe, or (n, dim) rows of an adapter."""
    people: NDArray[np.int64]
    """(n, 2): labels of the person shown and of the one blended in; -1 where nobody knows, or nobody is."""
    share: NDArray[np.float32]
    """(n,): of the first person in the view; 1 where nobody is blended in."""
    targets: Vectors | None
    """(n, dim) unit rows: the teacher's embedding of the same views; None where no method asks."""


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """Which views an epoch shows: view `epoch mod views` of each photo, in the order that `order` gives."""

    order: Callable[[int], NDArray[np.int64]]
    """Epoch -> (steps, batch) numbers of photos; every epoch has as many steps."""
    views: int
    mixup: float
    low_resolution: float
    seed: int

    def view(self, people: People, photo: int, number: int) -> View:
        return augmented_view(
            people.crops, photo, number, seed=self.seed, mixup=self.mixup, low_resolution=self.low_resolution
        )


def batches(
    people: People, recipe: Recipe, plan: ViewPlan, targets: Targets | None, *, start: int, mine: slice
) -> Generator[Batch]:
    """Batches without end from step `start` (0-based) on, the same for the same plan wherever one starts.

    mine: the rows of each batch that are this rank's.
    """
    per_epoch = len(plan.order(0))
    kept: dict[int, NDArray[np.int64]] = {}

    def make(step: int) -> Batch:
        epoch, within = divmod(step, per_epoch)
        if epoch not in kept:
            kept.clear()
            kept[epoch] = plan.order(epoch)
        photos = kept[epoch][within][mine]
        views = [plan.view(people, int(photo), epoch % plan.views) for photo in photos]
        return Batch(
            inputs=np.stack([view.crop(recipe) for view in views]),
            people=shown(people.labels, photos, views),
            share=np.array([view.share for view in views], dtype=np.float32),
            targets=None if targets is None else targets.answers(epoch, photos, views),
        )

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


def shown(labels: NDArray[np.int64], photos: NDArray[np.int64], views: Sequence[View]) -> NDArray[np.int64]:
    """(n, 2), as Batch.people has it."""
    others = [-1 if view.other is None else labels[view.other] for view in views]
    return np.stack([labels[photos], np.array(others, dtype=np.int64)], axis=1)
