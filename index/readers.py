"""Connections to read with: one for each thread that reads at this moment, kept for the next."""

import sqlite3
import threading
from pathlib import Path
from typing import TypeVar

from index.connection import connect, translated
from index.errors import GalleryUnavailable
from index.writer import Job

T = TypeVar("T")


class Readers:
    """Of one store. No connection is used by two threads at once, and none keeps a read open between jobs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    def read(self, job: Job[T]) -> T:
        """Run `job` on the store as of one moment. It must not keep cursors, nor write."""
        connection = self._take()
        try:
            with translated(self._path):
                connection.execute("BEGIN")
                try:
                    return job(connection)
                finally:
                    if connection.in_transaction:
                        connection.execute("COMMIT")
        finally:
            self._put_back(connection)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise GalleryUnavailable("closed", str(self._path), "Open it again.")
            if self._idle:
                return self._idle.pop()
        connection = connect(self._path)
        connection.execute("PRAGMA query_only = 1")
        return connection

    def _put_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()
