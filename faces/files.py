"""Files that land whole or not at all."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write beside, sync, rename over, sync the folder: a crash leaves the old file or the new one."""
    write_parts(path, [data])


def write_parts(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """As write_whole, of what need not be in memory at once."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            for data in parts:
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with suppress(OSError):  # on a read-only file system even this fails, and must not hide the reason
            part.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Return when the disk has what this file holds, or which files this folder has. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
