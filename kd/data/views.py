"""Augmented views of a face.

A view is a pure function of (seed, photo, number): whoever asks again sees the same pixels. That is what lets the
teacher embed a view once and the student look at it many times, and what makes an interrupted run go on exactly.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.align import Image, similarity
from faces.space import Recipe
from kd.data.crops import CANONICAL, RIM, SIDE, Crops

_ANGLE: Final = 8.0  # degrees, standard deviation 1/2 of it
_SHIFT: Final = 3.0  # pixels of the canonical crop
_ZOOM: Final = 0.06
_RESOLUTIONS: Final = (14, 56)  # of the 112 pixels around the face, both included
_BEYOND: Final = 1  # third word of the seed, for what is drawn apart from what a view has always drawn; not 0


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A face as it is shown: the retouched canonical crop, and how it is moved before it is cropped for a model."""

    image: Image
    jitter: NDArray[np.float64]
    """(3, 3), canonical pixels to canonical pixels."""
    other: int | None = None
    """The photo that is blended in."""
    share: float = 1.0
    """Of the first photo in the blend; the rest is the other's."""
    resolution: int | None = None
    """Pixels that were left of the central 112, where the view has lost some."""

    @property
    def mixed(self) -> bool:
        """Two photos blended: no one label applies."""
        return self.other is not None

    def crop(self, recipe: Recipe, *, sharp: bool = False) -> Image:
        """What a Model with this Recipe sees of the view; black outside.

        sharp: the same view, but as it was before it lost its resolution.
        """
        image = self.image if sharp or self.resolution is None else coarsened(self.image, self.resolution)
        base = similarity(np.array(CANONICAL.points), np.array(recipe.points))
        matrix = base @ self.jitter
        warped = cv2.warpAffine(image, matrix, (recipe.width, recipe.height), flags=cv2.INTER_LINEAR)
        return np.asarray(warped, dtype=np.uint8)


def plain_view(crop: Image) -> View:
    """The face as it is."""
    return View(crop, np.eye(3))


def some_faces(crops: Crops, recipe: Recipe, count: int) -> NDArray[np.uint8]:
    """Up to `count` faces, spread evenly from the first to the last, as a Model with this Recipe sees them.

    (n, height, width, 3) RGB.
    """
    chosen = np.unique(np.linspace(0, len(crops) - 1, count).round().astype(np.int64))
    return np.stack([plain_view(crops[int(photo)]).crop(recipe) for photo in chosen])


def augmented_view(
    crops: Crops, photo: int, number: int, *, seed: int, mixup: float, low_resolution: float = 0.0
) -> View:
    """View `number` of a photo.

    mixup: the share of views in which a second photo, drawn at random, is blended in (Zhang et al., mixup). Both
    teacher and student see the blend; the View tells what was blended, for losses that know labels.
    low_resolution: the share of views that are brought down to 14 to 56 of 112 pixels, log-uniform, and up again. It
    changes nothing else of a view.
    """
    rng = np.random.default_rng([seed, number, photo])
    image = _mirrored(crops[photo], rng)
    other, share = None, 1.0
    if rng.random() < mixup:
        other = int(rng.integers(len(crops)))
        second = _mirrored(crops[other], rng)
        share = rng.uniform(0.5, 0.9)
        image = np.asarray(cv2.addWeighted(image, share, second, 1 - share, 0), dtype=np.uint8)
    apart = np.random.default_rng([seed, number, photo, _BEYOND])
    return View(_retouched(image, rng), _jitter(rng), other, share, _resolution(apart, low_resolution))


def coarsened(image: Image, resolution: int) -> Image:
    """The canonical crop as it is with so many pixels left of its central 112, at its own size again."""
    return _resampled(image, side=round(resolution * SIDE / (SIDE - 2 * RIM)))


def _resolution(rng: np.random.Generator, low_resolution: float) -> int | None:
    if rng.random() >= low_resolution:
        return None
    low, high = _RESOLUTIONS
    return int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))


def _mirrored(crop: Image, rng: np.random.Generator) -> Image:
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)


def _jitter(rng: np.random.Generator) -> NDArray[np.float64]:
    """A small rotation, zoom and shift about the centre: what a detector's landmarks are off by."""
    centre = (SIDE - 1) / 2
    angle = float(np.clip(rng.normal(0, _ANGLE / 2), -_ANGLE, _ANGLE))
    zoom = float(np.exp(rng.uniform(-_ZOOM, _ZOOM)))
    matrix = np.vstack([cv2.getRotationMatrix2D((centre, centre), angle, zoom), [0, 0, 1]])
    matrix[:2, 2] += rng.uniform(-_SHIFT, _SHIFT, 2)
    return matrix


def _retouched(image: Image, rng: np.random.Generator) -> Image:
    """Light, colour, sharpness and compression as photos differ in them; each with some probability."""
    if rng.random() < 0.6:
        image = _relit(image, gamma=float(np.exp(rng.uniform(-0.45, 0.45))), gain=rng.uniform(0.8, 1.2))
    if rng.random() < 0.3:
        image = _recoloured(image, saturation=rng.uniform(0.0, 1.4))
    if rng.random() < 0.25:
        image = _resampled(image, side=int(np.exp(rng.uniform(np.log(28), np.log(96)))))
    if rng.random() < 0.15:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.5)), dtype=np.uint8)
    if rng.random() < 0.15:
        image = _recompressed(image, quality=int(rng.integers(25, 85)))
    return image


def _relit(image: Image, gamma: float, gain: float) -> Image:
    levels = 255 * gain * np.linspace(0, 1, 256) ** gamma
    return np.asarray(cv2.LUT(image, np.clip(levels, 0, 255).astype(np.uint8)), dtype=np.uint8)


def _recoloured(image: Image, saturation: float) -> Image:
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(image, saturation, grey, 1 - saturation, 0), dtype=np.uint8)


def _resampled(image: Image, side: int) -> Image:
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _recompressed(image: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
