"""The photo at every scale, laid out on canvases of one size.

P-Net runs fastest on a shape it was compiled for (a new one costs OpenVINO four times the run itself, and memory that
it keeps), and a pyramid has eight to fifteen shapes that differ from photo to photo. It only looks at 12 × 12 pixels at
a time, so the levels can lie side by side: cut into pieces that fit, packed, and run as one or a few canvases.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.align import Image
from faces.weights.mtcnn import VOID

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

WINDOW: Final = 12  # pixels that one cell of P-Net sees
STRIDE: Final = 2  # pixels between neighbouring cells
CANVAS: Final = (192, 288)  # height, width: the pyramid of a 250 × 250 photo fits on one, 82 % full
_FACTOR: Final = 0.709  # between levels
_OVERLAP: Final = WINDOW - STRIDE  # what two pieces must share so that no window is lost


class Photo:
    """Means over windows of one photo, in constant time a window: a summed-area table, 12 bytes a pixel."""

    def __init__(self, image: Image) -> None:
        self.height, self.width = image.shape[:2]
        # Sums past 2^31 wrap around; the difference of two is right all the same, as long as a window's own sum fits.
        self._sums = cv2.integral(np.ascontiguousarray(image), sdepth=cv2.CV_32S).reshape(-1, 3)

    def means(self, top: Ints, bottom: Ints, left: Ints, right: Ints) -> Floats:
        """The mean colour of the windows [top, bottom) × [left, right).

        top, bottom: (..., rows), left, right: (..., columns), in pixels -> (..., rows, columns, 3).
        """
        row = self.width + 1
        above, below = (top * row)[..., :, None], (bottom * row)[..., :, None]
        before, after = left[..., None, :], right[..., None, :]
        totals = self._sums.take(below + after, axis=0)
        totals -= self._sums.take(above + after, axis=0)
        totals -= self._sums.take(below + before, axis=0)
        totals += self._sums.take(above + before, axis=0)
        pixels = (bottom - top)[..., :, None] * (right - left)[..., None, :]
        inverse = (1.0 / pixels).astype(np.float32)
        return np.asarray(np.multiply(totals, inverse[..., None], dtype=np.float32))


def edges(start: Ints, length: Ints, count: int) -> tuple[Ints, Ints]:
    """The `count` windows that share out [start, start + length), as torch's adaptive average pooling does.

    start, length: (n,) -> two (n, count): first pixel, and the pixel after the last. Windows may overlap by one pixel.
    """
    steps = np.arange(count + 1) * length[:, None]
    return start[:, None] + steps[:, :-1] // count, start[:, None] - (-steps[:, 1:] // count)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one level: where it comes from in the level, where it lies on a canvas; all in pixels, all even."""

    scale: float
    level: tuple[int, int]
    source: tuple[int, int]
    size: tuple[int, int]
    target: tuple[int, int]


def scales(height: int, width: int, min_face: int) -> list[float]:
    """Scale of each level, from the one that takes min_face to P-Net's window to the smallest that still holds one."""
    scale = WINDOW / min_face
    shortest = min(height, width) * scale
    levels = []
    while shortest >= WINDOW:
        levels.append(scale)
        scale *= _FACTOR
        shortest *= _FACTOR
    return levels


def lay_out(height: int, width: int, min_face: int) -> list[list[Piece]]:
    """The pieces of every level of a photo, canvas by canvas."""
    pieces = [
        Piece(scale, level, (y, x), (rows, columns), (0, 0))
        for scale in scales(height, width, min_face)
        for level in [(int(height * scale + 1), int(width * scale + 1))]
        for y, rows in _cuts(level[0], CANVAS[0])
        for x, columns in _cuts(level[1], CANVAS[1])
    ]
    return _packed(pieces)


def draw(photo: Photo, pieces: Sequence[Piece], canvas: Floats) -> None:
    """Paint the pieces on a canvas (height, width, 4): red, green, blue, and VOID where there is no piece."""
    canvas[..., 3] = VOID
    for piece in pieces:
        rows = _piece_edges(photo.height, piece.level[0], piece.source[0], piece.size[0])
        columns = _piece_edges(photo.width, piece.level[1], piece.source[1], piece.size[1])
        y, x = piece.target
        area = canvas[y : y + len(rows[0]), x : x + len(columns[0])]
        area[..., :3] = photo.means(*rows, *columns)
        area[..., 3] = 0


def _piece_edges(length: int, count: int, start: int, size: int) -> tuple[Ints, Ints]:
    """Windows of a piece along one axis: the windows start to start + size of the level's `count`."""
    low, high = edges(np.array([0]), np.array([length]), count)
    return low[0, start : start + size], high[0, start : start + size]


def _cuts(length: int, most: int) -> Iterator[tuple[int, int]]:
    """Start and size of pieces of at most `most` pixels that cover `length` and overlap by _OVERLAP; starts are even.

    The last size is rounded up to even: its last row may be empty.
    """
    length += length % STRIDE
    start = 0
    while True:
        size = min(most, length - start)
        yield start, size
        if start + size == length:
            return
        start += most - _OVERLAP


@dataclass(frozen=True, slots=True)
class _Free:
    """An empty rectangle of a canvas."""

    canvas: int
    y: int
    x: int
    height: int
    width: int

    def without(self, height: int, width: int) -> "Iterator[_Free]":
        """What is left when its upper left corner is taken: two rectangles, the larger as large as it can be."""
        right, below = self.width - width, self.height - height
        wide_below = right < below
        yield _Free(self.canvas, self.y, self.x + width, height if wide_below else self.height, right)
        yield _Free(self.canvas, self.y + height, self.x, below, self.width if wide_below else width)


def _packed(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Each piece, largest first, in the free rectangle that it fills best; a new canvas when none holds it."""
    canvases: list[list[Piece]] = []
    free: list[_Free] = []
    for piece in sorted(pieces, key=lambda piece: -piece.size[0] * piece.size[1]):
        height, width = piece.size
        fitting = [space for space in free if space.height >= height and space.width >= width]
        if fitting:
            space = min(fitting, key=lambda space: space.height * space.width)
            free.remove(space)
        else:
            space = _Free(len(canvases), 0, 0, *CANVAS)
            canvases.append([])
        free += [rest for rest in space.without(height, width) if min(rest.height, rest.width) >= WINDOW]
        canvases[space.canvas].append(Piece(piece.scale, piece.level, piece.source, piece.size, (space.y, space.x)))
    return canvases
