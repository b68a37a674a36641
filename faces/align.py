"""Five landmarks to a Crop: one similarity transform, black outside the photo."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.space import Recipe

Image = NDArray[np.uint8]
"""(height, width, 3) RGB."""
Landmarks = NDArray[np.float32]
"""(5, 2): x, y in pixels of left eye, right eye, nose, left and right mouth corner."""

ARCFACE_112: Final = Recipe(
    "arcface-112",
    112,
    112,
    ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)),
)
"""InsightFace's template, `python-package/insightface/utils/face_align.py`."""

DLIB_CHIP_150: Final = Recipe(
    "dlib-chip-150", 150, 150, ((48.1, 46.3), (102.9, 46.3), (75.6, 78.8), (51.5, 106.8), (99.3, 106.9))
)
"""Where dlib's own chip (150 pixels, padding 0.25) puts the five points: means over 1,500 photos, checked by
`benchmarks/dlib_chip.py`; docs/decisions/0002-dlib-on-five-points.md."""

FACENET_160: Final = Recipe(
    "facenet-160", 160, 160, ((55.1, 64.2), (103.9, 64.2), (79.5, 92.8), (58.1, 118.0), (100.9, 118.0))
)
"""Where the five points lie in the box that facenet-pytorch cuts out with its margin of 14, before it stretches the box
to a square: means over 500 photos, estimated by `benchmarks/facenet_crop.py`. The box is the middle 120 columns.
docs/decisions/0011-facenet-on-five-points.md"""

RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType(
    {recipe.name: recipe for recipe in (ARCFACE_112, DLIB_CHIP_150, FACENET_160)}
)

_SHRINK: Final = 2.0  # beyond this, bilinear sampling skips pixels: average them first


def similarity(landmarks: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float64]:
    """The (2, 3) matrix of rotation, one scale and shift that takes landmarks nearest to reference (least squares).

    landmarks, reference: (k, 2). Landmarks that all coincide give a matrix that takes them to the reference's centre.
    Source: Umeyama, Least-squares estimation of transformation parameters, eq. 40-42, without reflection.
    """
    source, target = np.asarray(landmarks, np.float64), np.asarray(reference, np.float64)
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - source_mean, target - target_mean
    spread = max(float((a * a).sum()), 1e-12)
    cosine = float((a * b).sum()) / spread
    sine = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return np.hstack([linear, (target_mean - linear @ source_mean)[:, None]])


def align(image: Image, landmarks: NDArray[Any], recipe: Recipe) -> Image:
    """The Crop of one face: (recipe.height, recipe.width, 3) RGB; what lies outside the photo is black."""
    matrix = similarity(landmarks, np.array(recipe.points))
    shrink = 1.0 / max(math.hypot(matrix[0, 0], matrix[1, 0]), 1e-6)
    if shrink > _SHRINK:
        image, matrix = _reduced(image, matrix, shrink)
    warped = cv2.warpAffine(image, matrix, (recipe.width, recipe.height), flags=cv2.INTER_LINEAR)
    return np.asarray(warped, dtype=np.uint8)


def _reduced(image: Image, matrix: NDArray[np.float64], shrink: float) -> tuple[Image, NDArray[np.float64]]:
    """The image averaged down by a whole factor, and the matrix for it."""
    factor = min(int(shrink), *image.shape[:2])
    height, width = image.shape[0] // factor, image.shape[1] // factor
    image = np.ascontiguousarray(image[: height * factor, : width * factor])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    shift = (factor - 1) / 2  # where the centre of a small image's first pixel lies in the large one
    linear = matrix[:, :2]
    offset = matrix[:, 2] + linear @ np.array([shift, shift])
    return np.asarray(small, dtype=np.uint8), np.hstack([linear * factor, offset[:, None]])
