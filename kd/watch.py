"""What a run says of itself: its losses, its speed, and whether it is still healthy."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from kd import distributed
from kd.errors import LossNotFinite


class Watch:
    """The steps since the last look, kept without waiting for the device at each."""

    def __init__(self) -> None:
        self._parts: Mapping[str, Tensor] = {}
        self._bad = torch.zeros((), dtype=torch.int64)  # the first step whose loss was not finite
        self._since = time.perf_counter()
        self._waited = 0.0
        self._views = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what waits for data."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    def saw(self, step: int, views: int, parts: Mapping[str, Tensor], length: Tensor) -> None:
        """One step of so many views, on this rank, is done. length: of its gradient."""
        sound = torch.isfinite(parts["loss"].detach()) & torch.isfinite(length)
        fresh = ~sound & (self._bad == 0)
        self._bad = torch.where(fresh, step, self._bad)
        self._parts, self._views = parts, self._views + views * distributed.world()

    def look(self) -> dict[str, float]:
        """Losses of the last step, averaged over ranks, and how fast it goes. Raises LossNotFinite, on every rank."""
        everywhere = distributed.gathered(self._bad[None])
        if everywhere.any():
            bad = int(everywhere[everywhere > 0].min())
            raise LossNotFinite(
                "loss or gradient is not finite at step", bad, "Lower --rate; the same command goes on from before it."
            )
        seen = {
            name: float(distributed.total(part.detach())) / distributed.world() for name, part in self._parts.items()
        }
        seconds = time.perf_counter() - self._since
        seen |= {"images a second": self._views / seconds, "share of time waiting for data": self._waited / seconds}
        self._begin()
        return seen

    def _begin(self) -> None:
        self._since, self._waited, self._views = time.perf_counter(), 0.0, 0
