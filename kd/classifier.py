"""The inherited classifier W: one row per person, from the teacher's embeddings of that person's photos."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faces.console import progress
from faces.embed import ModelEmbedder, Vectors
from faces.files import write_whole
from kd.data.people import People
from kd.data.views import plain_view
from kd.errors import ClassifierRefused

_CHUNK: Final = 64
_FLOOR: Final = 0.5  # a classifier by which the teacher knows fewer of its own photos than this is not its own


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """weights: (classes, dim), rows not normalised. accuracy: the teacher's, through W, on the photos themselves."""

    weights: Vectors
    accuracy: float


def kept_class_means(people: People, teacher: ModelEmbedder, file: Path) -> Classifier:
    """`class_means`, computed at the first start and kept in `file` (.npz) for the next."""
    if file.is_file():
        with np.load(file) as kept:
            return Classifier(kept["weights"], float(kept["accuracy"]))
    classifier = class_means(people, teacher)
    buffer = io.BytesIO()
    np.savez(buffer, weights=classifier.weights, accuracy=classifier.accuracy)
    write_whole(file, buffer.getvalue())
    return classifier


def class_means(people: People, teacher: ModelEmbedder) -> Classifier:
    """Mean of the teacher's unit embeddings of each person's photos, checked on those photos.

    Raises ClassifierRefused where the teacher recognises its training people by it no better than by a foreign one.
    """
    labelled = np.flatnonzero(people.labels >= 0)
    vectors, labels = _embeddings(people, labelled, teacher), people.labels[labelled]
    sums = np.zeros((len(people.names), teacher.space.dim), dtype=np.float32)
    np.add.at(sums, labels, vectors)
    counts = np.bincount(labels, minlength=len(people.names)).astype(np.float32)
    weights = sums / counts[:, None]
    accuracy = teacher_accuracy(weights, vectors, labels)
    if accuracy < _FLOOR:
        raise ClassifierRefused(
            "the teacher does not recognise its training people by these class weights; accuracy",
            round(accuracy, 4),
            "Check that every folder holds one person, and that the teacher's crop is right.",
        )
    return Classifier(weights, accuracy)


def teacher_accuracy(weights: Vectors, vectors: Vectors, labels: NDArray[np.int64]) -> float:
    """Share of embeddings (n, dim) whose nearest row of weights, by cosine, is their own."""
    rows = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    nearest = [(chunk @ rows.T).argmax(axis=1) for chunk in np.array_split(vectors, max(1, len(vectors) // 4096))]
    return float((np.concatenate(nearest) == labels).mean())


def _embeddings(people: People, photos: NDArray[np.int64], teacher: ModelEmbedder) -> Vectors:
    vectors = np.empty((len(photos), teacher.space.dim), dtype=np.float32)
    with progress("teacher reads its people", total=len(photos)) as advance:
        for start in range(0, len(photos), _CHUNK):
            chunk = photos[start : start + _CHUNK]
            crops = np.stack([plain_view(people.crops[i]).crop(teacher.card.crop) for i in chunk])
            vectors[start : start + len(chunk)] = teacher.embed(crops)
            advance(len(chunk))
    return vectors
