"""Which row of a classifier is whose."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faces.embed import ModelEmbedder
from kd.classifier.check import Indices, embedded, nearest_rows
from kd.classifier.files import Rows
from kd.data.people import People
from kd.errors import ClassifierRefused

_PHOTOS_EACH: Final = 4  # of a person: half of them to find the row, half to check it


def order_rows(rows: Rows, people: People, path: Path) -> Indices:
    """(rows,): the row of label 0, of label 1, …, then the rows of people who are not in the data, as they came.

    Rows are found by their names. Without names, row i belongs to label i, where people are called by their labels (as
    in a `.rec`: whole numbers that are all rows), else to the i-th name in sorted order.
    Raises ClassifierRefused with the count of people that have no row.
    """
    count = len(rows.weights)
    if rows.names is not None:
        row = {name: i for i, name in enumerate(rows.names)}
        missing = [name for name in people.names if name not in row]
        if missing:
            raise ClassifierRefused(
                f"of {len(people.names)} people, some have no row in the class weights in {path}",
                len(missing),
                "Give folders and rows the same names, move their photos to a folder `unlabelled`, or use class means.",
            )
        return _followed([row[name] for name in people.names], count)
    numbers = [int(name) for name in people.names if name.isdecimal()]
    if len(set(numbers)) == len(people.names) and max(numbers) < count:
        return _followed(numbers, count)
    if len(people.names) != count:
        raise ClassifierRefused(
            f"{len(people.names)} people, but without a name each, rows of class weights in {path}",
            count,
            "Give the rows' names beside them, or use class means.",
        )
    return np.arange(count)


def match_rows(rows: Rows, people: People, teacher: ModelEmbedder, path: Path) -> tuple[Indices, Indices]:
    """`order_rows` for rows whose order nobody published: each person's is the one that the teacher recognises.

    That is the row nearest to the mean of every other one of a few photos; the photos between them are returned too,
    to check the match by. Only directions are compared, as in training: facenet-pytorch's logits were trained on
    vectors of any length and with a bias, which are left out.
    Raises ClassifierRefused when people share a row: these are not the people that the classifier was trained on.
    """
    photos, turn = _first_photos(people)
    finding, checking = photos[turn % 2 == 0], photos[turn % 2 == 1]
    if not checking.size:
        raise ClassifierRefused("nobody has a second photo to check the rows by", str(path), _MEANS)
    sums = np.zeros((len(people.names), rows.weights.shape[1]), dtype=np.float32)
    for chunk, vectors in embedded(people, finding, teacher):
        np.add.at(sums, people.labels[chunk], vectors)
    nearest = nearest_rows(rows.weights, sums)
    apart = len(np.unique(nearest))
    if apart < len(nearest):
        raise ClassifierRefused(
            f"of {len(nearest)} people, the teacher recognises by a row of their own in {path}", apart, _MEANS
        )
    return _followed(nearest.tolist(), len(rows.weights)), checking


def _first_photos(people: People) -> tuple[Indices, NDArray[np.int64]]:
    """Up to four photos of each person, and which of the person's they are, from 0."""
    labelled = np.flatnonzero(people.labels >= 0)
    by_person = labelled[np.argsort(people.labels[labelled], kind="stable")]
    labels = people.labels[by_person]
    turn = np.arange(len(labels)) - np.searchsorted(labels, labels)
    return by_person[turn < _PHOTOS_EACH], turn[turn < _PHOTOS_EACH]


def _followed(first: list[int], count: int) -> Indices:
    """These rows, then all others."""
    return np.concatenate([np.array(first, dtype=np.int64), np.setdiff1d(np.arange(count), first)])


_MEANS: Final = "Use class means: these rows know other people."
