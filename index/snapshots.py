"""Snapshot files: segments of a cache on disk, so that a large store opens without reading all of its rows.

Beside the store PEOPLE.heirloom lies the folder PEOPLE.heirloom.cache. In it each collection has a manifest, which
names its segment files, and the store holds the digest of that manifest: files that another history of the store left
behind, as after a backup was restored, are not taken for its own. Everything here can be thrown away at any time.

Whoever writes or removes files holds the lock, and writes only what it has found to be up to date under the lock. So
once somebody who erased Templates has had the lock, no file has them, and a process that lags behind will not write
them again.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from faces.files import sync, write_whole
from faces.space import digest
from index.connection import beside
from index.errors import SegmentDamaged
from index.search import Part
from index.segment import Segment
from index.segment_file import read_segment, write_segment

_FORMAT: Final = 1
_PAUSE: Final = 0.05  # seconds between attempts at the lock


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """What the files of a collection hold."""

    seq: int
    """Of the last operation that is in them."""
    last: int
    """Templates with higher ids are not."""
    segments: tuple[Part[Segment], ...]


def folder_of(store: Path) -> Path:
    """Where the snapshot files of a store are."""
    return beside(store, ".cache")


class SnapshotFiles:
    """Those of one collection."""

    def __init__(self, store: Path, store_id: str, collection: int) -> None:
        self._folder, self._store = folder_of(store), store
        self._of = {"format": _FORMAT, "store_id": store_id, "collection": collection}
        self._prefix = f"{collection}-"
        self._manifest = self._folder / f"{collection}-manifest.json"

    @contextmanager
    def locked(self, wait: float) -> Iterator[bool]:
        """The right to change files, unless others keep it for `wait` seconds: False. Raises OSError."""
        allowed = self._store.stat().st_mode  # what is in here is in the store, too
        self._folder.mkdir(0o700 | allowed & 0o066 | (allowed & 0o044) >> 2, exist_ok=True)
        with (self._folder / "lock").open("ab") as file:
            yield _lock(file.fileno(), time.monotonic() + wait)

    def load(self, expected: str, read: Callable[[Path], Segment] = read_segment) -> Saved:
        """What the manifest with this digest names. Raises SegmentDamaged when anything is not what was written."""
        try:
            data = self._manifest.read_bytes()
        except OSError as error:
            raise _damaged(self._manifest, f"cannot be read ({error.strerror})") from None
        if digest(data) != expected:
            raise _damaged(self._manifest, "is not the one that the store knows")
        body = json.loads(data)
        if {name: body[name] for name in self._of} != self._of:
            raise _damaged(self._manifest, "is of another store")
        return Saved(body["seq"], body["last"], tuple(self._load_part(entry, read) for entry in body["segments"]))

    def save(self, saved: Saved) -> tuple[str, tuple[str, ...]]:
        """Write what is not there yet. The digest of the manifest and the names of the files. Under the lock only.

        Raises OSError.
        """
        names = tuple(self._keep(part) for part in saved.segments)
        entries = [_entry(part, name) for part, name in zip(saved.segments, names, strict=True)]
        body = {**self._of, "seq": saved.seq, "last": saved.last, "segments": entries}
        data = json.dumps(body, sort_keys=True).encode()
        write_whole(self._manifest, data)
        self._remove_all_but({self._manifest.name, *names})
        return digest(data), names

    def drop(self) -> None:
        """Remove every file of this collection. Under the lock only. Raises OSError."""
        self._remove_all_but(set())

    def _load_part(self, entry: Any, read: Callable[[Path], Segment]) -> Part[Segment]:
        path = self._folder / entry["file"]
        segment = read(path)
        if _entry(Part(segment, entry["off"]), entry["file"]) != entry:
            raise _damaged(path, "is not the file that the manifest names")
        return Part(segment, entry["off"], file=entry["file"])

    def _keep(self, part: Part[Segment]) -> str:
        """The name of the file that holds this part, which is written unless it is there."""
        if part.file and (self._folder / part.file).exists():
            return part.file
        path = self._folder / f"{self._prefix}{os.getpid()}.part"
        write_segment(part.rows, path)
        with path.open("rb") as file:
            name = f"{self._prefix}{hashlib.file_digest(file, 'sha256').hexdigest()}.segment"
        path.replace(self._folder / name)
        return name

    def _remove_all_but(self, kept: set[str]) -> None:
        for file in self._folder.iterdir():
            if file.name.startswith(self._prefix) and file.name not in kept:
                file.unlink()
        sync(self._folder)  # a power cut must not bring back what was erased


class ReadAhead:
    """Reads segment files while the store that they belong to is still looked over: both take about as long.

    What is not asked for is dropped by `close`. Nothing here is trusted: whoever asks for a file knows it from a
    manifest that the store vouches for.
    """

    def __init__(self, files: Sequence[Path] = ()) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="read ahead")
        self._segments = {path: self._pool.submit(read_segment, path) for path in files}

    def read(self, path: Path) -> Segment:
        """As `read_segment`."""
        return self._segments.pop(path).result() if path in self._segments else read_segment(path)

    def close(self) -> None:
        """When what is just being read is."""
        self._pool.shutdown(cancel_futures=True)
        self._segments.clear()


def likely_files(store: Path) -> list[Path]:
    """The segment files that the only manifest names; none where anything is unlike what `save` writes."""
    folder = folder_of(store)
    with suppress(OSError, ValueError, TypeError, LookupError):
        (manifest,) = folder.glob("*-manifest.json")
        return [folder / entry["file"] for entry in json.loads(manifest.read_bytes())["segments"]]
    return []


def drop_all_but(store: Path, kept: Sequence[int], wait: float) -> bool:
    """Remove the files of all other collections. False: somebody keeps the lock. Raises OSError."""
    folder = folder_of(store)
    if not folder.is_dir():
        return True
    with SnapshotFiles(store, "", 0).locked(wait) as mine:
        if mine:
            for file in folder.iterdir():
                if file.name != "lock" and file.name.partition("-")[0] not in map(str, kept):
                    file.unlink()
            sync(folder)
    return mine


def _entry(part: Part[Segment], name: str) -> dict[str, Any]:
    rows = part.rows
    return {
        "file": name,
        "rows": len(rows),
        "dim": rows.dim,
        "first": int(rows.ids[0]),
        "final": int(rows.ids[-1]),
        "off": part.off,
    }


def _lock(handle: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)
        else:
            return True


def _damaged(path: Path, what: str) -> SegmentDamaged:
    return SegmentDamaged(f"a snapshot file {what}", str(path), "It is made again from the store.")
