"""Who is let in to have something computed, until when, and how it is told that nobody wants the answer any more."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any, Final

from app.batching import Item, Result, Stage
from app.errors import ClientGone, Overloaded
from app.workers import Workers

_REMEDY: Final = "Try again after a moment (Retry-After), or send fewer requests at once."


class Ticket:
    """One request's claim on results, until it is cancelled. Safe to cancel from any thread.

    Its deadline is for its first turn alone. What was begun is finished: were it dropped between two Stages, a service
    with too much to do would begin everything and answer nobody.
    """

    def __init__(self, deadline: float) -> None:
        """deadline: on the Workers' clock."""
        self.deadline = deadline
        self._lock = threading.Lock()
        self._awaited: Future[Any] | None = None
        self._cancelled = False
        self._on_a_worker = False

    def begin(self, workers: Workers, work: "Callable[[Ticket], Result]") -> "Future[Result] | None":
        """The result to be of a whole request's work, on the thread of a worker that is free; None when none is.

        Its Stages are run there one after the other, until others wait for their turn. Raises ClientGone.
        """

        def on_a_worker() -> Result:
            self._on_a_worker, self.deadline = True, math.inf
            return work(self)

        with self._lock:
            if self._cancelled:
                raise gone("a request")
            self._awaited = begun = workers.begin(on_a_worker, self.deadline)
        return begun

    def result(self, workers: Workers, stage: Stage[Item, Result], item: Item) -> Result:
        """An item's result, once its turn has come.

        Raises ClientGone when cancelled, DeadlinePassed, WorkerLost, NotReady, and what was raised for the item.
        """
        with self._lock:
            if self._cancelled:
                raise gone(stage.name)
            self._on_a_worker = self._on_a_worker and workers.keeps_turn(stage)
            if not self._on_a_worker:
                self._awaited = future = workers.submit(stage, item, self.deadline)
        if self._on_a_worker:
            return workers.run(stage, item)
        try:
            return future.result()
        except CancelledError:
            raise gone(stage.name) from None
        finally:
            self.deadline = math.inf

    def cancel(self) -> None:
        """What has not begun to be computed for this request never is."""
        with self._lock:
            self._cancelled = True
            if self._awaited is not None:
                self._awaited.cancel()


class Admission:
    """Lets `room` requests in; the next one is refused at once."""

    def __init__(self, room: int, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        """patience: seconds that a request may wait for its turns. clock: that of the Workers."""
        self.room: Final = room
        self.patience: Final = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._inside = 0

    @contextmanager
    def enter(self, timeout: float | None = None) -> Iterator[Ticket]:
        """A Ticket, cancelled at the end. Raises Overloaded when there is no room.

        timeout: seconds after which the caller has no use for an answer, if that is less than `patience`.
        """
        with self._lock:
            if self._inside == self.room:
                raise Overloaded("too many requests are waiting", self.room, _REMEDY)
            self._inside += 1
        ticket = Ticket(self._clock() + min(self.patience, self.patience if timeout is None else timeout))
        try:
            yield ticket
        finally:
            ticket.cancel()
            with self._lock:
                self._inside -= 1


def gone(stage: str) -> ClientGone:
    return ClientGone("nobody waits any longer for", stage, "Keep the connection open until the answer is there.")
