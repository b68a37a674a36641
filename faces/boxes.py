"""Arithmetic on boxes: (n, 4) float32, x_min, y_min, x_max, y_max in pixels of the photo."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
Floats = NDArray[np.float32]
Overlap = Callable[[Boxes, Boxes], Floats]
"""(n, 4), (m, 4) -> (n, m)."""

_BLOCK: Final = 256  # boxes judged at once: bounds the memory of `suppress` to this many rows of overlaps


def over_union(a: Boxes, b: Boxes) -> Floats:
    """Intersection over union of every pair."""
    shared = _intersections(a, b, 0.0)
    return _ratio(shared, _areas(a, 0.0)[:, None] + _areas(b, 0.0)[None, :] - shared)


def over_smaller(a: Boxes, b: Boxes) -> Floats:
    """Intersection over the smaller of the two, of every pair; end pixels count, as in the original MTCNN."""
    return _ratio(_intersections(a, b, 1.0), np.minimum(_areas(a, 1.0)[:, None], _areas(b, 1.0)[None, :]))


def suppress(boxes: Boxes, scores: Floats, limit: float, overlap: Overlap = over_union) -> NDArray[np.intp]:
    """Indices of the boxes that no better box overlaps by more than limit, best first.

    Greedy non-maximum suppression. Of equal scores the smaller box stays, then the later: a sure network answers 1.0
    to several boxes of one face.
    """
    order = np.lexsort((-_areas(boxes, 0.0), scores))[::-1]
    kept = np.empty(0, dtype=np.intp)
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        if len(kept):
            block = block[~(overlap(boxes[block], boxes[kept]) > limit).any(axis=1)]
        kept = np.concatenate([kept, block[_greedy(overlap(boxes[block], boxes[block]) > limit)]])
    return kept


def moved(boxes: Boxes, offsets: Floats, *, end_pixel: float) -> Boxes:
    """Each side moved by its offset, in parts of the box's width or height; `end_pixel` is added to both lengths."""
    lengths = boxes[:, 2:] - boxes[:, :2] + np.float32(end_pixel)
    return boxes + offsets * np.tile(lengths, 2)


def squared(boxes: Boxes) -> Boxes:
    """The square of the longer side about each centre."""
    lengths = boxes[:, 2:] - boxes[:, :2]
    side = lengths.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + lengths * np.float32(0.5) - side * np.float32(0.5)
    return np.hstack([corner, corner + side])


def clipped(boxes: Boxes, width: int, height: int) -> Boxes:
    """The part of each box that lies in the photo."""
    return np.clip(boxes, 0, np.array([width, height, width, height], dtype=np.float32))


def _greedy(conflicts: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Which of boxes in order of score stay: (n, n) -> indices."""
    alive = np.ones(len(conflicts), dtype=bool)
    for i in range(len(conflicts)):
        if alive[i]:
            alive[i + 1 :] &= ~conflicts[i, i + 1 :]
    return np.flatnonzero(alive)


def _areas(boxes: Boxes, end_pixel: float) -> Floats:
    lengths = boxes[:, 2:] - boxes[:, :2] + np.float32(end_pixel)
    return np.asarray(lengths[:, 0] * lengths[:, 1], dtype=np.float32)


def _intersections(a: Boxes, b: Boxes, end_pixel: float) -> Floats:
    return _shared(a[:, 0::2], b[:, 0::2], end_pixel) * _shared(a[:, 1::2], b[:, 1::2], end_pixel)


def _shared(a: Floats, b: Floats, end_pixel: float) -> Floats:
    """Length that the intervals of (n, 2) and (m, 2) share: (n, m)."""
    lengths = np.minimum.outer(a[:, 1], b[:, 1])
    lengths -= np.maximum.outer(a[:, 0], b[:, 0])
    lengths += np.float32(end_pixel)
    return np.asarray(np.maximum(lengths, 0, out=lengths))


def _ratio(shared: Floats, whole: Floats) -> Floats:
    """shared / whole; boxes without area overlap nothing."""
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
