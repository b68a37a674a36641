"""Work of several requests in one run. What waits, which of it goes together, and whose turn it is; no thread, no lock.

Nothing waits while there is nobody to wait for: an idle service answers as fast as one without batches. When all are
busy, work that is cheaper together gathers until it fills a batch.
"""

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from app.errors import DeadlinePassed

Item = TypeVar("Item")
Result = TypeVar("Result")

_REMEDY: Final = "Try again after a moment (Retry-After), or send fewer requests at once."


@dataclass(frozen=True, slots=True, eq=False)
class Stage(Generic[Item, Result]):
    """A kind of work, and what makes a batch of it."""

    name: str
    run: Callable[[Sequence[Item]], Sequence[Result]]
    """The results of some items, in their order."""
    limit: int = 1
    """Of a batch, in units of `size`; a larger item is a batch by itself."""
    size: Callable[[Item], int] = lambda _: 1
    key: Callable[[Item], Hashable] = lambda _: None
    """A batch holds items of one key."""
    patient: bool = False
    """Less than a full batch lets other Stages go first."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry(Generic[Item, Result]):
    item: Item
    deadline: float
    future: "Future[Result]"


@dataclass(frozen=True, slots=True, eq=False)
class Batch(Generic[Item, Result]):
    """Entries to be run together; their futures are running, so nobody can cancel them any more."""

    stage: Stage[Item, Result]
    entries: tuple[Entry[Item, Result], ...]


class Line(Generic[Item, Result]):
    """What waits at one Stage, first come, first served."""

    def __init__(self, stage: Stage[Item, Result]) -> None:
        self.stage: Final = stage
        self._entries: deque[Entry[Item, Result]] = deque()

    def __len__(self) -> int:
        return sum(not entry.future.cancelled() for entry in self._entries)

    def add(self, entry: Entry[Item, Result]) -> None:
        self._entries.append(entry)

    def drop_dead(self, now: float) -> None:
        """Out with what was cancelled, and with what has its deadline behind it: that fails with DeadlinePassed."""
        if not self._entries:
            return
        alive: deque[Entry[Item, Result]] = deque()
        for entry in self._entries:
            if entry.deadline >= now:
                if not entry.future.cancelled():
                    alive.append(entry)
            elif entry.future.set_running_or_notify_cancel():
                entry.future.set_exception(
                    DeadlinePassed("the deadline passed while waiting for", self.stage.name, _REMEDY)
                )
        self._entries = alive

    def fills_a_batch(self) -> bool:
        return sum(self.stage.size(entry.item) for entry in self._next()) >= self.stage.limit

    def take(self) -> Batch[Item, Result] | None:
        """The head of the line, and what goes with it. The head always goes, so nothing waits for ever."""
        while chosen := self._next():
            self._entries = deque(entry for entry in self._entries if entry not in chosen)
            if running := tuple(entry for entry in chosen if entry.future.set_running_or_notify_cancel()):
                return Batch(self.stage, running)
        return None  # all of it was cancelled since the last look

    def take_all(self) -> list[Entry[Item, Result]]:
        """Everything that nobody cancelled, to be answered at once."""
        taken = [entry for entry in self._entries if entry.future.set_running_or_notify_cancel()]
        self._entries.clear()
        return taken

    def _next(self) -> list[Entry[Item, Result]]:
        chosen: list[Entry[Item, Result]] = []
        room: float = math.inf
        for entry in self._entries:
            size = self.stage.size(entry.item)
            if not chosen:
                room = self.stage.limit - size
                chosen.append(entry)
            elif size <= room and self.stage.key(entry.item) == self.stage.key(chosen[0].item):
                room -= size
                chosen.append(entry)
        return chosen


def next_batch(lines: Iterable[Line[Any, Any]], now: float) -> Batch[Any, Any] | None:
    """What a worker that is free is to do; None when nothing waits.

    lines: in the order of the pipeline. Later Stages go first, so that what was begun is finished before more is begun;
    patient ones that do not fill a batch go last.
    """
    for line in lines:
        line.drop_dead(now)
    backwards = [line for line in reversed(list(lines)) if len(line)]
    for line in sorted(backwards, key=lambda line: line.stage.patient and not line.fills_a_batch()):
        batch: Batch[Any, Any] | None = line.take()
        if batch is not None:
            return batch
    return None
