"""The few lines that put detection, alignment, quality and embedding together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faces.align import Image, align
from faces.detect import Detector, Face
from faces.embed import Crops, ModelEmbedder, Vectors
from faces.quality import Quality, assess
from faces.space import Recipe

_CENTRE_WEIGHT = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class ReadFace:
    """A face, how good its picture is, and its embedding: (dim,) float32 of unit length."""

    face: Face
    quality: Quality
    embedding: NDArray[np.float32]


def read_faces(image: Image, detector: Detector, embedder: ModelEmbedder) -> list[ReadFace]:
    """Every face of a photo, best detector score first."""
    (faces,) = detector.detect([image])
    rows = embed_faces(image, faces, embedder)
    return [ReadFace(face, assess(image, face), row) for face, row in zip(faces, rows, strict=True)]


def embed_faces(image: Image, faces: Sequence[Face], embedder: ModelEmbedder) -> Vectors:
    """(n, dim) float32 unit rows, in the order of faces."""
    return embedder.embed(align_faces(image, faces, embedder.card.crop))


def align_faces(image: Image, faces: Sequence[Face], recipe: Recipe) -> Crops:
    """(n, recipe.height, recipe.width, 3) uint8 RGB, in the order of faces."""
    crops = np.empty((len(faces), recipe.height, recipe.width, 3), dtype=np.uint8)
    for crop, face in zip(crops, faces, strict=True):
        crop[:] = align(image, face.landmarks, recipe)
    return crops


def principal_face(faces: Sequence[Face], image: Image) -> int:
    """Index of the face that the photo is of: large, and near the centre.

    The largest of (area of the box) - 2 × (squared distance of its centre to the photo's), both in pixels²; the first
    of equals. faces: at least one. Source: facenet-pytorch 2.6.0, `center_weighted_size`.
    """
    height, width = image.shape[:2]
    return int(np.argmax(prominence(faces, width, height)))


def prominence(faces: Sequence[Face], width: int, height: int) -> NDArray[np.float64]:
    """(n,) pixels²: the measure of `principal_face`, in a photo of this size; negative far from its centre."""
    boxes = np.array([face.box for face in faces], dtype=np.float64).reshape(-1, 4)
    low, high = boxes[:, :2], boxes[:, 2:]
    from_centre = (low + high) / 2 - np.array([width, height]) / 2
    measured: NDArray[np.float64] = np.prod(high - low, axis=1) - _CENTRE_WEIGHT * np.square(from_centre).sum(axis=1)
    return measured
