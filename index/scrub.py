"""Overwriting what was deleted, in a store that only this process has open: a backup, or one whose key is changed."""

import sqlite3
from typing import Final

WAIT: Final = 30.0
"""Seconds that a deletion goes on trying for; see `Store.scrub`."""


def scrub(connection: sqlite3.Connection) -> bool:
    """Write the file anew and empty its log; see `Store.scrub`. False: another process keeps a read open."""
    connection.execute("VACUUM")
    if not _empty_log(connection):
        return False
    connection.execute("UPDATE store SET scrub_pending = 0")
    return _empty_log(connection)


def _empty_log(connection: sqlite3.Connection) -> bool:
    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy
