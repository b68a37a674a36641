"""Whether bytes are left in the files of a store: windows of them are looked for in every file, byte by byte.

What this cannot see: blocks that an SSD has set aside, snapshots of a copy-on-write file system, the journal of a file
system, swap. Encryption at rest covers those.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

WINDOW: Final = 32  # bytes
_WINDOWS: Final = 3  # from the beginning, the middle and the end
_STEP: Final = 8
_FEWEST_DIFFERENT: Final = 6  # bytes in a window: zeros are everywhere
_CHUNK: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Needle:
    """Bytes that are looked for, by some windows of them."""

    what: str
    """fp16, fp32, int8 codes, sealed, source."""
    number: int
    windows: tuple[bytes, ...]
    """None, when no part of it could be told from anything else."""

    @classmethod
    def of(cls, what: str, number: int, data: bytes) -> Self:
        return cls(what, number, tuple(_windows(data)))


@dataclass(frozen=True, slots=True, order=True)
class Trace:
    """A needle that is in a file."""

    file: Path
    what: str
    number: int


class Files:
    """All files of the store at a path, read beside SQLite.

    Use it around everything that opens the store in this process: a descriptor that is closed takes SQLite's locks on
    its file with it (https://www.sqlite.org/howtocorrupt.html, 2.2), so those of the database stay open until the end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[Path, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in self._kept.values():
            os.close(descriptor)
        self._kept.clear()

    def paths(self) -> list[Path]:
        """The database, its log and that log's index, the folders of the cache and of the backups, leftovers."""
        name = _escaped(self._path.name)
        beside = [found for ending in ("", "-*", ".*") for found in self._path.parent.glob(name + ending)]
        inside = (file for found in beside for file in ([found] if found.is_file() else found.rglob("*")))
        return sorted(file for file in inside if file.is_file())

    def search(self, needles: Sequence[Needle]) -> list[Trace]:
        """Where they are. Reads every file once, at some 1 GB/s for each window looked for."""
        return sorted(trace for file in self.paths() for trace in self._search(file, needles))

    def _search(self, file: Path, needles: Sequence[Needle]) -> Iterator[Trace]:
        left = list(needles)
        for chunk in self._chunks(file):
            found = [needle for needle in left if any(window in chunk for window in needle.windows)]
            yield from (Trace(file, needle.what, needle.number) for needle in found)
            left = [needle for needle in left if needle not in found]

    def _chunks(self, file: Path) -> Iterator[bytes]:
        """The file's bytes; each chunk begins with the end of the one before."""
        try:
            descriptor = self._kept[file] if file in self._kept else os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # SQLite and the cache clear away files of theirs at any time
            return
        if file.parent == self._path.parent:
            self._kept[file] = descriptor
        try:
            at = 0
            while chunk := os.pread(descriptor, _CHUNK, at):
                yield chunk
                if len(chunk) < _CHUNK:
                    break
                at += _CHUNK - WINDOW + 1
        finally:
            if file not in self._kept:
                os.close(descriptor)


def unseen(needles: Iterable[Needle], traces: Iterable[Trace]) -> list[Needle]:
    """Of the needles, those that no trace is of."""
    seen = {(trace.what, trace.number) for trace in traces}
    return [needle for needle in needles if (needle.what, needle.number) not in seen]


def _windows(data: bytes) -> Iterator[bytes]:
    starts = [
        start
        for start in range(0, max(len(data) - WINDOW, 0) + 1, _STEP)
        if len(set(data[start : start + WINDOW])) >= _FEWEST_DIFFERENT
    ]
    for part in range(min(_WINDOWS, len(starts))):
        start = starts[part * (len(starts) - 1) // max(min(_WINDOWS, len(starts)) - 1, 1)]
        yield data[start : start + WINDOW]


def _escaped(name: str) -> str:
    """A file's name as a pattern that matches it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
