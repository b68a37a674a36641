"""Weight files: fetched whole, and believed only by their SHA-256."""

import re
from pathlib import Path
from typing import Final

import httpx

from faces.console import progress
from faces.errors import WeightsMissing, WeightsUnreadable
from faces.files import write_whole
from faces.space import digest

_PATIENCE: Final = 30.0  # seconds without a byte
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def download(url: str, sha256: str, folder: Path) -> Path:
    """The file at this address, kept in `folder` from the first time on. Nothing is kept that has another SHA-256.

    Raises WeightsMissing when it cannot be fetched, WeightsUnreadable with both values when it is another file.
    """
    file = folder / url.rpartition("/")[2]
    if file.is_file() and digest(file.read_bytes()) == sha256.lower():
        return file
    data = _fetched(url)
    require_digest(data, sha256, url)
    write_whole(file, data)
    return file


def require_digest(data: bytes, sha256: str, where: str) -> None:
    """Raises WeightsUnreadable with both values unless the data have this SHA-256."""
    if not _SHA256.fullmatch(sha256.lower()):
        raise WeightsUnreadable("not a SHA-256", sha256, "Give its 64 hexadecimal digits.")
    found = digest(data)
    if found != sha256.lower():
        raise WeightsUnreadable(
            f"SHA-256 is {found}, but {sha256.lower()} was expected, of",
            where,
            "Get the file again, from its publisher.",
        )


def _fetched(url: str) -> bytes:
    data = bytearray()
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=_PATIENCE) as answer:
            answer.raise_for_status()
            total = answer.headers.get("content-length")
            with progress("downloading bytes", total=int(total) if total else None) as advance:
                for part in answer.iter_bytes():
                    data += part
                    advance(len(part))
    except httpx.HTTPStatusError as error:
        raise _missing(f"HTTP status {error.response.status_code}", url) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _missing(str(error) or type(error).__name__, url) from None
    return bytes(data)


def _missing(reason: str, url: str) -> WeightsMissing:
    return WeightsMissing(f"cannot be downloaded ({reason})", url, "Fetch it where it can be, and give --weights FILE.")
