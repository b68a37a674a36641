"""Arrays on disk that starts and processes fill together, named by all that their rows follow from."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faces.space import digest, short_id
from kd.config import Viewing
from kd.data.room import reserved, unwritable_in_words

Record = np.dtype[Any]


def kept_array(
    folder: Path, kind: str, record: Record, *, viewing: Viewing, photos: int, of: Sequence[str]
) -> NDArray[Any]:
    """(viewing.views, photos) records in `folder`, open for writing; zeros where nobody has written yet.

    kind: the first word of the file's name. of: what the rows follow from beside the views and whose photos are viewed.
    A file that does not read as such records is made anew. Raises DataUnwritable.
    """
    asked = f"{replace(viewing, sampler='')} {list(of)}"  # no order of photos changes a row; who is left out does
    file, shape = folder / f"{kind}-{short_id(digest(asked.encode()))}.npy", (viewing.views, photos)
    with unwritable_in_words(file):
        rows = _opened(file)
        if rows is None or (rows.shape, rows.dtype) != (shape, record):
            file.unlink(missing_ok=True)
            _create(file, shape, record)
            rows = np.load(file, mmap_mode="r+")
    return rows


def _opened(file: Path) -> NDArray[Any] | None:
    try:
        rows: NDArray[Any] = np.load(file, mmap_mode="r+")
    except (FileNotFoundError, EOFError, ValueError):  # none, or cut short
        return None
    return rows


def _create(file: Path, shape: tuple[int, int], record: Record) -> None:
    """An empty array on disk; processes that begin together end with the same file."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    reserved(part, shape, record)
    try:
        os.link(part, file)
    except FileExistsError:
        pass
    finally:
        part.unlink()
