"""One thread that writes: what arrives while the disk is busy shares the next commit.

SQLite takes one writer at a time, and a durable commit waits for the disk. So writes queue up, and up to 256 of them
are one transaction: many clients share one wait. What nobody waits for gathers a while, and goes with the first that
somebody does. Each job has a savepoint of its own, so that one that fails takes nothing of its neighbours with it.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from index.connection import connect, translated
from index.errors import GalleryBusy, GalleryError, GalleryUnavailable

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

MOST_AT_ONCE: Final = 256
"""Jobs a commit."""

GATHERED: Final = 0.05
"""Seconds that a job waits for others to share its commit, when nobody waits for it."""

_LASTING: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""After these nothing that SQLite holds in memory is to be trusted, nor is anything tried twice."""


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    job: Job[Any]
    alone: bool
    awaited: bool = True
    future: "Future[Any]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    result: Any = None
    error: BaseException | None = None


class Writer:
    """The writing connection of a store, and its thread.

    Jobs run in the order they came. A job may run twice, when a neighbour's failure undid it, so it must have no effect
    but on the connection. It must not wait for another job.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = connect(path)
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"writer of {path.name}", daemon=True)
        self._thread.start()

    def submit(self, job: Job[T], *, awaited: bool = True) -> "Future[T]":
        """Run `job` in a transaction; the future holds its result once that is durable, or the error of either.

        awaited: False: nobody waits for the future, so the job may for GATHERED seconds wait for company.
        Raises GalleryUnavailable when the store is closed. The future raises GalleryBusy after five seconds.
        """
        return self._put(_Task(job, alone=False, awaited=awaited))

    def submit_alone(self, job: Job[T]) -> "Future[T]":
        """The same outside any transaction: for VACUUM and checkpoints."""
        return self._put(_Task(job, alone=True))

    def close(self) -> None:
        """When all that was submitted is done."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._tasks.put(None)
        self._thread.join()

    def _put(self, task: _Task) -> "Future[Any]":
        if threading.current_thread() is self._thread:
            raise AssertionError("a job must not wait for another job")
        with self._closing:
            if self._closed:
                raise GalleryUnavailable("closed", str(self._path), "Open it again.")
            self._tasks.put(task)
        return task.future

    def _run(self) -> None:
        for batch in self._batches():
            if batch[0].alone:
                self._finish_alone(batch[0])
            else:
                self._finish(batch)
        if self._connection is not None:
            self._connection.close()

    def _batches(self) -> Iterator[list[_Task]]:
        """Tasks that share a commit: those that wait, in order, up to MOST_AT_ONCE; or one that is to run alone."""
        batch: list[_Task] = []
        due = 0.0  # when a batch is to be written that nobody waits for
        while True:
            try:
                task = self._next(batch, due)
            except Empty:
                yield batch
                batch = []
                continue
            if (task is None or task.alone) and batch:
                yield batch
                batch = []
            if task is None:
                return
            due = due if batch else time.monotonic() + GATHERED
            batch.append(task)
            if task.alone or len(batch) == MOST_AT_ONCE:
                yield batch
                batch = []

    def _next(self, batch: list[_Task], due: float) -> _Task | None:
        """What comes next. Raises Empty when the batch is not to wait for it."""
        if not batch:
            return self._tasks.get()
        if any(task.awaited for task in batch):
            return self._tasks.get(block=False)
        return self._tasks.get(timeout=max(due - time.monotonic(), 0))

    def _finish(self, batch: list[_Task]) -> None:
        if not batch:
            return
        try:
            outcomes = self._commit(batch)
        except BaseException as error:  # noqa: BLE001 - handed to those who wait
            if len(batch) > 1 and not isinstance(error, GalleryBusy) and not _is_lasting(error):
                # One of them may have filled the disk: the others may fit.
                for task in batch:
                    self._finish([task])
                return
            outcomes = [_Outcome(error=error)] * len(batch)
        for task, outcome in zip(batch, outcomes, strict=True):
            if outcome.error is None:
                task.future.set_result(outcome.result)
            else:
                task.future.set_exception(outcome.error)

    def _commit(self, batch: list[_Task]) -> list[_Outcome]:
        with self._kept_sound() as connection, translated(self._path):
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._attempt(task, connection) for task in batch]
            connection.execute("COMMIT")
        return outcomes

    def _attempt(self, task: _Task, connection: sqlite3.Connection) -> _Outcome:
        connection.execute("SAVEPOINT job")
        try:
            with translated(self._path):
                outcome = _Outcome(task.job(connection))
        except BaseException as error:
            if not connection.in_transaction or _is_lasting(error):
                raise
            connection.execute("ROLLBACK TO job")
            outcome = _Outcome(error=error)
        connection.execute("RELEASE job")
        return outcome

    def _finish_alone(self, task: _Task) -> None:
        try:
            with self._kept_sound() as connection, translated(self._path):
                result = task.job(connection)
        except BaseException as error:  # noqa: BLE001 - handed to those who wait
            task.future.set_exception(error)
        else:
            task.future.set_result(result)

    @contextmanager
    def _kept_sound(self) -> Iterator[sqlite3.Connection]:
        """The connection. After an error it is out of any transaction; after one of the disk, opened anew next time."""
        if self._connection is None:
            self._connection = connect(self._path)
        try:
            yield self._connection
        except BaseException as error:
            with suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            if _is_lasting(error):
                self._connection.close()
                self._connection = None
            raise


def _is_lasting(error: BaseException) -> bool:
    cause = error.__cause__ if isinstance(error, GalleryError) else error
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _LASTING
