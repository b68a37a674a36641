"""The threads that do the work of all requests: as many as it may burden cores, each replaced when it is lost."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final

from app.batching import Batch, Entry, Item, Line, Result, Stage, next_batch
from app.errors import NotReady, WorkerLost, WorkerStuck

_LOG: Final = logging.getLogger(__name__)
_MOST_LOST: Final = 3  # workers in a row, or still hanging, before no good is to be expected
_AGAIN: Final = "Try again; if it is this photo alone that fails, send another."

_WHOLE: Final[Stage[Callable[[], Any], Any]] = Stage("a request", lambda works: [work() for work in works])

Ran = Callable[[str, int, float], None]
"""Told of each run that ended well: its Stage, its items and its seconds."""


class _Worker(threading.Thread):
    """A thread, and the entries that it has to answer, being run since when."""

    def __init__(self, live: "Callable[[_Worker], None]") -> None:
        super().__init__(name="worker", daemon=True)  # one that hangs must not keep the process from ending
        self.stage = ""
        self.running: list[Entry[Any, Any]] = []
        self.since = 0.0
        self._live = live

    def run(self) -> None:
        self._live(self)


def still_running() -> int:
    """How many threads of workers this process has. A runtime that ends while one is inside it ends with an abort."""
    return sum(isinstance(thread, _Worker) for thread in threading.enumerate())


class Workers:
    """Runs the items of some Stages in batches; the result, or the error, of each goes to whoever submitted it.

    stages: in the order of the pipeline. count: of threads.
    stuck_after: seconds of a run after which its items are answered with WorkerStuck and another thread takes over.
    When a run raises, each item of its batch is run once more by itself, so that what cannot be computed fails alone.
    """

    def __init__(
        self,
        stages: Sequence[Stage[Any, Any]],
        count: int,
        *,
        stuck_after: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
        ran: Ran = lambda _stage, _items, _seconds: None,
    ) -> None:
        self._count = count
        self._stuck_after = stuck_after
        self._clock = clock
        self._ran = ran
        lock = threading.RLock()  # guards all below, and that a future is answered once
        self._changed, self._hired = threading.Condition(lock), threading.Condition(lock)
        self._lines: dict[Stage[Any, Any], Line[Any, Any]] = {stage: Line(stage) for stage in (*stages, _WHOLE)}
        self._workers: set[_Worker] = set()
        self._spare: list[_Worker] = []
        """They made room for others, and are done. A new thread would have memory of its own to fill."""
        self._lost: list[_Worker] = []
        self._threads: list[_Worker] = []
        """Workers, those that made room, and the lost ones, as far as they have not ended."""
        self._lost_in_a_row = 0
        self._closed = False
        with self._changed:
            self._hire()

    def waiting(self, stage: Stage[Any, Any]) -> int:
        """Items of a Stage whose run has not begun."""
        with self._changed:
            return len(self._lines[stage])

    @property
    def trouble(self) -> str | None:
        """Why no good is to be expected, or None."""
        with self._changed:
            self._lost = [worker for worker in self._lost if worker.is_alive()]
            lost = max(self._lost_in_a_row, len(self._lost))
        return f"{lost} workers were lost" if lost >= _MOST_LOST else None

    def submit(self, stage: Stage[Item, Result], item: Item, deadline: float = math.inf) -> "Future[Result]":
        """The result to be. Cancelled before its run has begun, the item is never run.

        deadline: on the Workers' clock. A run that has not begun then never does: the error is DeadlinePassed.
        Raises NotReady once closed.
        """
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                raise NotReady("the service is stopping", stage.name, _AGAIN)
            self._lines[stage].add(Entry(item, deadline, future))
            self._changed.notify()
        return future

    def begin(self, work: Callable[[], Result], deadline: float = math.inf) -> "Future[Result] | None":
        """The result to be of `work`, on a worker's thread; None when all have something to do.

        Work of several Stages is so handed over once. Before each of them it is to call `keeps_turn`, and then `run`.
        """
        with self._changed:
            busy = sum(bool(worker.running) for worker in self._workers) + sum(map(len, self._lines.values()))
            if self._closed or busy >= self._count:
                return None
            return self.submit(_WHOLE, work, deadline)

    def keeps_turn(self, stage: Stage[Any, Any]) -> bool:
        """May this thread, on which `work` was begun, run the Stage itself? Not before others.

        If it may not, it is no worker any more but a caller like all others, and another worker takes its place.
        """
        worker = threading.current_thread()
        assert isinstance(worker, _Worker)  # noqa: S101 - else nothing was begun on it
        with self._changed:
            others = any(map(len, self._lines.values()))
            if worker in self._workers and (self._closed or not others):
                worker.stage, worker.since = stage.name, self._clock()
                return True
            self._workers.discard(worker)
            self._hire()
        return False

    def run(self, stage: Stage[Item, Result], item: Item) -> Result:
        """The result of one item, on this thread."""
        began = self._clock()
        (result,) = stage.run([item])
        self._ran(stage.name, 1, self._clock() - began)
        return result

    def supervise(self) -> None:
        """Answer who waits in vain, and put others in the place of workers that hang. To be called every so often."""
        with self._changed:
            now = self._clock()
            for worker in [each for each in self._workers if each.running and now - each.since > self._stuck_after]:
                self._lose(worker, WorkerStuck, f"no end of {worker.stage} within so many seconds", self._stuck_after)
            self._hire()
            for line in self._lines.values():
                line.drop_dead(now)

    def close(self, patience: float) -> None:
        """Take nothing new, finish what was submitted, end the threads.

        patience: seconds of real time; what has not ended then fails with NotReady.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._hired.notify_all()
            threads = [thread for thread in self._threads if thread not in self._lost]
        end = time.monotonic() + patience
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0))
        with self._changed:
            left = [entry for worker in self._workers for entry in worker.running]
            left += [entry for line in self._lines.values() for entry in line.take_all()]
            for worker in self._workers:
                worker.running.clear()
            self._workers.clear()
            for entry in left:
                entry.future.set_exception(
                    NotReady("the service stopped before the end; items left", len(left), _AGAIN)
                )

    def _hire(self) -> None:
        while len(self._workers) < self._count and not self._closed:
            if self._spare:
                worker = self._spare.pop()
                self._hired.notify_all()
            else:
                worker = _Worker(self._live)
                worker.start()
                self._threads = [thread for thread in self._threads if thread.is_alive()] + [worker]
            self._workers.add(worker)

    def _lose(self, worker: _Worker, kind: type[WorkerLost], what: str, value: object) -> None:
        """Answer a worker's entries, each with an error of its own, and put another worker in its place."""
        _LOG.error("%s: %s (%d items)", what, value, len(worker.running))
        self._workers.discard(worker)
        self._lost.append(worker)
        self._lost_in_a_row += 1
        for entry in worker.running:
            entry.future.set_exception(kind(what, value, _AGAIN))
        worker.running.clear()
        self._hire()

    def _live(self, worker: _Worker) -> None:
        """What a worker does until there is nothing left to do, or another has taken its place."""
        try:
            while (batch := self._take(worker)) is not None:
                self._answer(worker, batch)
        except BaseException as reason:  # noqa: BLE001 - whatever ends this thread, those who wait for it are told
            _LOG.exception("a worker died at %s", worker.stage)
            with self._changed:
                if worker in self._workers or worker.running:
                    self._lose(worker, WorkerLost, f"the worker died at {worker.stage}", type(reason).__name__)

    def _take(self, worker: _Worker) -> Batch[Any, Any] | None:
        """Wait for a batch; None says that this worker is not needed any more."""
        with self._changed:
            if worker not in self._workers and worker not in self._lost and len(self._spare) < self._count:
                self._spare.append(worker)
            while worker in self._spare and not self._closed:
                self._hired.wait()
            while worker in self._workers:
                if (batch := next_batch(self._lines.values(), self._clock())) is not None:
                    worker.stage, worker.running = batch.stage.name, list(batch.entries)
                    worker.since = self._clock()
                    return batch
                if self._closed:
                    self._workers.discard(worker)
                else:
                    self._changed.wait()
        return None

    def _answer(self, worker: _Worker, batch: Batch[Any, Any]) -> None:
        """Run a batch; when that fails, each of it alone."""
        stage, entries, began = batch.stage, batch.entries, self._clock()
        try:
            results = stage.run([entry.item for entry in entries])
        except Exception as error:  # noqa: BLE001 - it is the answer to whoever asked
            if len(entries) == 1:
                self._settle(worker, entries, Future.set_exception, [error])
                return
            _LOG.warning("a batch of %d failed at %s, each is run alone", len(entries), stage.name, exc_info=True)
            for entry in entries:
                if worker in self._workers:
                    self._answer(worker, Batch(stage, (entry,)))
            return
        if stage is not _WHOLE:
            self._ran(stage.name, len(entries), self._clock() - began)
        self._settle(worker, entries, Future.set_result, results)

    def _settle(
        self,
        worker: _Worker,
        entries: Sequence[Entry[Any, Any]],
        answer: "Callable[[Future[Any], Any], None]",
        values: Sequence[Any],
    ) -> None:
        """Answer each entry with its value, unless the worker was given up: then they have had their answer."""
        with self._changed:
            if not worker.running:
                return
            self._lost_in_a_row = 0
            for entry, value in zip(entries, values, strict=True):
                answer(entry.future, value)
                worker.running.remove(entry)
            worker.since = self._clock()


@contextmanager
def supervised(workers: Workers, *, every: float, patience: float) -> Iterator[Workers]:
    """Supervise Workers from a thread of their own while the block runs, then close them.

    every: seconds between two looks. patience: seconds that closing may take.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(every):
            try:
                workers.supervise()
            except RuntimeError:  # no thread can be started now; there is a next time
                _LOG.exception("lost workers cannot be replaced")

    watcher = threading.Thread(target=watch, name="supervisor", daemon=True)
    watcher.start()
    try:
        yield workers
    finally:
        over.set()
        watcher.join()
        workers.close(patience)
