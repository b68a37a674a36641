"""The one hard check before training: does the teacher know its people by these class weights?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faces.console import progress
from faces.embed import ModelEmbedder, Vectors
from kd.data.people import People
from kd.data.views import plain_view
from kd.errors import ClassifierRefused

Indices = NDArray[np.int64]

_CHUNK: Final = 64  # photos that the teacher is given at once
_SAMPLE: Final = 2048  # photos: the standard error of an accuracy is then at most a hundredth
_FLOOR: Final = 0.5
_BLOCK: Final = (1024, 8192)  # embeddings × rows compared at once: 32 MB of cosines, however many classes there are


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """Class weights that passed `checked`."""

    weights: Vectors
    """(rows, dim), not normalised. Row i is the person with label i; rows beyond the last label are other people."""
    accuracy: float
    """The teacher's, through them, on a sample of the photos."""


def checked(weights: Vectors, vectors: Vectors, labels: Indices, where: str) -> Classifier:
    """Raises ClassifierRefused when fewer than half of the teacher's embeddings are nearest to their own row.

    On photos of its own training people a teacher is far above that, and through rows in another order, or another
    teacher's, far below. What lies between is told (`accuracy`), not judged: it depends on how hard the photos are.
    vectors: (n, dim) unit rows, n ≥ 1. labels: (n,), rows of weights. where: what the weights are, for the error.
    """
    accuracy = teacher_accuracy(weights, vectors, labels)
    if accuracy < _FLOOR:
        raise ClassifierRefused(
            f"the teacher does not recognise its people by the class weights {where}; accuracy",
            round(accuracy, 4),
            "They are in another order or another teacher's (or photos are in wrong folders, or the teacher's crop is"
            " wrong): give the rows' names beside them, or use class means.",
        )
    return Classifier(weights, accuracy)


def teacher_accuracy(weights: Vectors, vectors: Vectors, labels: Indices) -> float:
    """Share of embeddings (n, dim) whose nearest row of weights, by cosine, is their own."""
    return float((nearest_rows(weights, vectors) == labels).mean())


def nearest_rows(weights: Vectors, vectors: Vectors) -> Indices:
    """(rows, dim), (n, dim) -> (n,): the row with the highest cosine, the first of equals."""
    nearest = np.zeros(len(vectors), dtype=np.int64)
    highest = np.full(len(vectors), -np.inf, dtype=np.float32)
    for first in range(0, len(weights), _BLOCK[1]):
        block = weights[first : first + _BLOCK[1]]
        directions = block / np.linalg.norm(block, axis=1, keepdims=True)
        for start in range(0, len(vectors), _BLOCK[0]):
            part = slice(start, start + _BLOCK[0])
            cosines = vectors[part] @ directions.T
            best, higher = cosines.argmax(axis=1), cosines.max(axis=1)
            nearest[part] = np.where(higher > highest[part], first + best, nearest[part])
            highest[part] = np.maximum(higher, highest[part])
    return nearest


def sampled(people: People) -> Indices:
    """Photos with a label, ascending: 2,048 drawn at random, always the same, or all where there are no more."""
    labelled = np.flatnonzero(people.labels >= 0)
    if len(labelled) <= _SAMPLE:
        return labelled
    return np.sort(np.random.default_rng(0).choice(labelled, _SAMPLE, replace=False))


def embeddings(people: People, photos: Indices, teacher: ModelEmbedder) -> Vectors:
    """(n, dim): the teacher's embedding of each of these photos."""
    return np.concatenate([vectors for _, vectors in embedded(people, photos, teacher)])


def embedded(people: People, photos: Indices, teacher: ModelEmbedder) -> Iterator[tuple[Indices, Vectors]]:
    """These photos with the teacher's embeddings, (k,) and (k, dim) at a time."""
    with progress("teacher reads its people", total=len(photos)) as advance:
        for start in range(0, len(photos), _CHUNK):
            chunk = photos[start : start + _CHUNK]
            yield (
                chunk,
                teacher.embed(np.stack([plain_view(people.crops[int(i)]).crop(teacher.card.crop) for i in chunk])),
            )
            advance(len(chunk))
