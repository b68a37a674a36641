"""The API keys of a gallery's file, for programs that have to tell their callers apart."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from index import access
from index.access import AccessKey, Grant
from index.connection import connect, inspect, translated

_Result = TypeVar("_Result")


class Keyring:
    """Keys as they are at each call: another process's new key counts, and its revoked one does not."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection: Final = connection
        self._path: Final = path
        self._lock: Final = threading.Lock()

    def find(self, token: str, now: datetime) -> AccessKey:
        """The key with this text, in force now. Raises AccessRefused."""
        return self._do(lambda connection: access.find(connection, token, now))

    def any(self) -> bool:
        """Was there ever a key? One that has expired or was revoked counts."""
        return bool(self.keys())

    def keys(self) -> list[AccessKey]:
        """All there ever were, oldest first; a store of the first format has none."""
        return self._do(lambda connection: access.keys(connection) if _has_table(connection) else [])

    def create(self, grant: Grant, now: datetime) -> tuple[AccessKey, str]:
        """The new key and its text, which is stored nowhere. Durable on return. Raises AccessKeyInvalid."""
        return self._do(lambda connection: access.create(connection, grant, now))

    def revoke(self, key_id: str, now: datetime) -> AccessKey:
        """Durable on return. Raises AccessKeyUnknown."""
        return self._do(lambda connection: access.revoke(connection, key_id, now))

    def _do(self, job: Callable[[sqlite3.Connection], _Result]) -> _Result:
        with self._lock, translated(self._path):
            return job(self._connection)


def _has_table(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'access_keys'").fetchone())


@contextmanager
def open_keyring(path: Path) -> Iterator[Keyring]:
    """Raises the errors of `index.connection.inspect`."""
    inspect(path)
    with closing(connect(path)) as connection:
        yield Keyring(connection, path)
