"""A file that is new: it lands whole, or not at all, and never replaces what is there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from faces.files import sync
from index.errors import GalleryExists, GalleryUnavailable


@contextmanager
def new_file(path: Path, otherwise: str, elsewhere: str) -> Iterator[Path]:
    """Where to write it; when the block ends well it is synced, linked to `path`, and its folder synced.

    otherwise: what it means when the disk refuses. elsewhere: what to do when there is a file already.
    Raises GalleryExists, before anything is written where it can; GalleryUnavailable in place of any OSError.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        if path.exists():
            raise FileExistsError
        path.parent.stat()  # whoever writes there may name another file when it is missing
        part.unlink(missing_ok=True)
        yield part
        sync(part)
        os.link(part, path)  # unlike a rename, never replaces what is there
        sync(path.parent)
    except FileExistsError:
        raise GalleryExists("there is a file already", str(path), elsewhere) from None
    except OSError as error:
        remedy = "Check the folder and its permissions."
        raise GalleryUnavailable(f"{otherwise} ({error.strerror})", str(path), remedy) from None
    finally:
        with suppress(OSError):  # on a read-only file system even this fails, and must not hide the reason
            for ending in ("", "-journal"):
                part.with_name(part.name + ending).unlink(missing_ok=True)
