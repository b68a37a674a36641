"""Canonical crops: the one shape in which every face is kept and shown, wherever it comes from.

128 × 128 pixels, the ArcFace template moved by (8, 8). The rim is there for augmentation, and for teachers whose own
crop reaches further than ArcFace's.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from faces.align import ARCFACE_112, Image
from faces.errors import ImageRefused
from faces.image import ImageLimits, read_image
from faces.space import Recipe

RIM: Final = 8
SIDE: Final = ARCFACE_112.width + 2 * RIM
CANONICAL: Final = Recipe("arcface-128", SIDE, SIDE, tuple((x + RIM, y + RIM) for x, y in ARCFACE_112.points))  # type: ignore[arg-type]

_LIMITS: Final = ImageLimits(pixels=SIDE * SIDE, side=SIDE)
"""What is larger is no crop, and is refused before it is decoded."""


class Crops(Protocol):
    """Canonical crops by number, in memory or read when they are asked for; safe to read from several threads."""

    def __len__(self) -> int: ...

    def __getitem__(self, photo: int, /) -> Image:
        """(128, 128, 3) uint8 RGB. Raises IndexError past the last."""
        ...


class Joined:
    """Crops of one source after those of another."""

    def __init__(self, sources: Sequence[Crops]) -> None:
        self._sources = tuple(sources)
        self._starts = tuple(accumulate((len(source) for source in sources), initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, photo: int, /) -> Image:
        _require_within(photo, self)
        source = bisect_right(self._starts, photo) - 1
        return self._sources[source][photo - self._starts[source]]


class Chosen:
    """Some of another's crops. rows: (n,) int64, their numbers there."""

    def __init__(self, crops: Crops, rows: NDArray[np.int64]) -> None:
        self._crops, self._rows = crops, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, photo: int, /) -> Image:
        _require_within(photo, self)
        return self._crops[int(self._rows[photo])]


class EncodedCrops:
    """Crops as the bytes of image files, decoded when they are asked for. files: such as `read_crop` reads."""

    def __init__(self, files: Sequence[bytes]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, photo: int, /) -> Image:
        _require_within(photo, self)
        return read_crop(self._files[photo])


def read_crop(data: bytes) -> Image:
    """The canonical crop in an image file. Raises ImageRefused when it is no image, or none of a crop's sizes."""
    image = read_image(data, _LIMITS)
    crop = framed(image)
    if crop is None:
        height, width = image.shape[:2]
        raise ImageRefused(
            f"{width}×{height} pixels are no aligned crop",
            f"{width}×{height}",
            f"Crops are {ARCFACE_112.width} or {SIDE} pixels square.",
        )
    return crop


def framed(image: Image) -> Image | None:
    """An aligned picture as a canonical crop: one of 112 × 112 gets a black rim. None when it has another size."""
    size = image.shape[:2]
    if size == (SIDE, SIDE):
        return image
    if size == (ARCFACE_112.height, ARCFACE_112.width):
        return np.pad(image, ((RIM, RIM), (RIM, RIM), (0, 0)))
    return None


def _require_within(photo: int, crops: Crops) -> None:
    if not 0 <= photo < len(crops):
        raise IndexError(photo)
