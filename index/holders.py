"""Who is in the way: the processes that have a store open, or keep a read of it open, by their locks.

Linux lists every lock in /proc/locks. Reading that opens no file of the store, which matters: a process that closes any
descriptor of a file loses all its locks on it, those of SQLite too (https://www.sqlite.org/howtocorrupt.html, 2.2).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from index.connection import beside

PROC: Final = Path("/proc")

_READS: Final = range(123, 128)
"""Bytes of the -shm file whose locks say "I still read": https://www.sqlite.org/walformat.html, 2.3.1."""
_SHARED: Final = range(0x40000002, 0x40000200)
"""Bytes of the database that every open connection of a WAL store holds: SQLite's os.h."""


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """A process."""

    pid: int
    program: str
    """Empty where the system does not say."""

    def __str__(self) -> str:
        return f"{self.program or 'a program that cannot be named'} (pid {self.pid})"


def readers(path: Path, proc: Path = PROC) -> list[Holder] | None:
    """The processes that keep a read of the store at `path` open, this one excepted; None: it cannot be known."""
    return _holders(beside(path, "-shm"), _READS, proc)


def users(path: Path, proc: Path = PROC) -> list[Holder] | None:
    """The processes that have the store at `path` open, this one excepted; None: it cannot be known."""
    return _holders(path, _SHARED, proc)


def in_words(found: list[Holder] | None) -> str:
    if found is None:
        return "a process that cannot be known here (only Linux says who holds a lock)"
    return ", ".join(map(str, found)) or "a process that has just gone, or that is in another container"


def _holders(path: Path, span: range, proc: Path) -> list[Holder] | None:
    try:
        locks = (proc / "locks").read_text()
        inode = path.stat().st_ino
    except FileNotFoundError:
        return [] if (proc / "locks").exists() else None
    except OSError:
        return None
    pids = {pid for pid in _pids(locks, inode, span) if pid != os.getpid()}
    return sorted(Holder(pid, _program(pid, proc)) for pid in pids)


def _pids(locks: str, inode: int, span: range) -> Iterator[int]:
    """Of lines like `1: POSIX  ADVISORY  READ 4242 fe:00:2146765 124 124`.

    The device is not compared: file systems in layers report another one there than to stat.
    """
    for line in locks.splitlines():
        words = line.split()
        if len(words) != 8 or words[1] not in ("POSIX", "OFDLCK"):  # nine: `->`, and waits for the lock
            continue
        pid, where, first, last = words[4:]
        end = float("inf") if last == "EOF" else int(last)
        if int(where.rpartition(":")[2]) == inode and int(first) < span.stop and end >= span.start and int(pid) > 0:
            yield int(pid)


def _program(pid: int, proc: Path) -> str:
    try:
        return (proc / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""
