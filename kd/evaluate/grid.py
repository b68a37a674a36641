"""The 2×2: the same protocol with probes by {S, T} against galleries by {S, T}."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faces.embed import Vectors
from faces.space import Cell
from kd.evaluate.protocol import Identification, Pair, Protocol
from kd.evaluate.rates import NO_FACE, open_set, pair_accuracy

FPIRS: Final = (0.1, 0.01)

Embeddings = Mapping[str, Vectors]
"""Photo -> (dim,) unit row; a photo without a face is not in it."""


def cells(protocol: Protocol, probes: Embeddings, gallery: Embeddings) -> dict[int, Cell]:
    """N enrolled Subjects -> the cell, with the protocol's gallery alone and, where it has them, with distractors."""
    accuracy = _pairs(protocol.pairs, probes, gallery) if protocol.pairs else None
    sizes = [identify(protocol.identification, probes, gallery, distractors=False, pairs=accuracy)]
    if protocol.identification.distractor:
        sizes.append(identify(protocol.identification, probes, gallery, distractors=True, pairs=accuracy))
    return {cell.subjects: cell for cell in sizes}


def identify(
    protocol: Identification, probes: Embeddings, gallery: Embeddings, *, distractors: bool, pairs: float | None
) -> Cell:
    """1:N at rank 1. A photo without a face is a miss: it is still a probe, and its Subject is still enrolled."""
    enrolled = [*protocol.gallery, *(protocol.distractor if distractors else ())]
    subjects = sorted({subject for _, subject in enrolled})
    rows = np.array([subjects.index(subject) for _, subject in enrolled])
    mates = np.array([subjects.index(subject) for _, subject in protocol.probe])
    mated, found = _top(protocol.probe, enrolled, rows, probes, gallery)
    non_mated, _ = _top(protocol.nonmated, enrolled, rows, probes, gallery)
    hit = (found == mates) & (mated > NO_FACE)
    rates = open_set(mated, hit, non_mated, FPIRS)
    return Cell(
        subjects=len(subjects),
        mated=len(mated),
        non_mated=len(non_mated),
        rank1=round(float(hit.mean()), 4),
        fnir={f"{rate.fpir:g}": round(rate.fnir, 4) for rate in rates},
        thresholds={f"{rate.fpir:g}": round(rate.threshold, 4) for rate in rates},
        pairs=None if pairs is None else round(pairs, 4),
    )


def _top(
    photos: Sequence[tuple[str, str]],
    enrolled: Sequence[tuple[str, str]],
    rows: NDArray[np.int64],
    probes: Embeddings,
    gallery: Embeddings,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Best score and its Subject's number for each photo; NO_FACE where either side gave none."""
    scores = _matrix([photo for photo, _ in photos], probes, [photo for photo, _ in enrolled], gallery)
    best = scores.argmax(axis=1)
    return scores[np.arange(len(best)), best], rows[best]


def _matrix(left: Sequence[str], probes: Embeddings, right: Sequence[str], gallery: Embeddings) -> NDArray[np.float32]:
    """(left, right) cosines; NO_FACE in the rows and columns of photos without a face."""
    scores = np.full((len(left), len(right)), NO_FACE, dtype=np.float32)
    rows = [i for i, photo in enumerate(left) if photo in probes]
    columns = [j for j, photo in enumerate(right) if photo in gallery]
    if rows and columns:
        a, b = np.stack([probes[left[i]] for i in rows]), np.stack([gallery[right[j]] for j in columns])
        scores[np.ix_(rows, columns)] = a @ b.T
    return scores


def _pairs(pairs: Sequence[Pair], probes: Embeddings, gallery: Embeddings) -> float:
    def score(pair: Pair) -> float:
        if pair.photo_a not in probes or pair.photo_b not in gallery:
            return NO_FACE
        return float(probes[pair.photo_a] @ gallery[pair.photo_b])

    return pair_accuracy(
        np.array([score(pair) for pair in pairs]),
        np.array([pair.same for pair in pairs]),
        np.array([pair.fold for pair in pairs]),
    )
