"""Arrays on disk that have their room before they are filled.

Rows of a sparse file get their room when they are first written through memory, and where there is none left then, the
system ends the process without a word.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from kd.errors import DataUnwritable

_UNABLE: Final = (errno.EOPNOTSUPP, errno.EINVAL)  # a file system that gives room as it is written alone


def reserved(file: Path, shape: tuple[int, ...], kind: np.dtype[Any]) -> np.memmap[Any, np.dtype[Any]]:
    """A new .npy file of zeros, open for writing, whose room nobody else can take. Raises OSError; no file is left."""
    try:
        np.lib.format.open_memmap(file, mode="w+", dtype=kind, shape=shape)
        _reserve(file)
    except OSError:
        with suppress(OSError):
            file.unlink(missing_ok=True)
        raise
    array: np.memmap[Any, np.dtype[Any]] = np.load(file, mmap_mode="r+")
    return array


@contextmanager
def unwritable_in_words(path: Path) -> Iterator[None]:
    """While something is made that is to be at `path`: raises DataUnwritable in place of OSError."""
    try:
        yield
    except OSError as error:
        remedy = "Make room, or give --data a folder elsewhere, and run the same command again."
        raise DataUnwritable(f"cannot keep what was prepared ({error.strerror})", str(path), remedy) from None


def _reserve(file: Path) -> None:
    if hasattr(os, "posix_fallocate"):  # macOS has none
        with file.open("r+b") as opened:
            try:
                os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
            except OSError as error:
                if error.errno not in _UNABLE:
                    raise
