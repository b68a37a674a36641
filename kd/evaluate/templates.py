"""Embeddings of photos to the vectors that are compared: one for each template."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kd.evaluate.protocol import Bools, Ints, Template
from kd.evaluate.rates import NO_FACE

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A vector for each template of a protocol."""

    vectors: Floats
    """(t, dim), unit rows; zero where there is none."""
    there: Bools
    """(t,) whether any photo of the template gave a face."""


def template_rows(templates: Sequence[Template], embeddings: Mapping[str, Floats], dim: int) -> Rows:
    """Mean of a medium's photos, then of the media, then unit length; photos without a face are left out.

    Source: Whitelam et al., IARPA Janus Benchmark-B, 2017: a video counts as much as a still.
    """
    vectors, there = np.zeros((len(templates), dim), dtype=np.float32), np.zeros(len(templates), dtype=bool)
    for row, template in enumerate(templates):
        media = [[embeddings[photo] for photo in medium if photo in embeddings] for medium in template.media]
        means = [np.mean(found, axis=0) for found in media if found]
        mean = np.mean(means, axis=0) if means else np.zeros(dim)
        length = np.linalg.norm(mean)
        if length > 0:
            vectors[row], there[row] = mean / length, True
    return Rows(vectors, there)


def pair_scores(probes: Rows, gallery: Rows, left: Ints, right: Ints) -> Floats:
    """(n,) cosines of left by the one model with right by the other; NO_FACE where either has no vector."""
    scores = np.empty(len(left), dtype=np.float32)
    for rows in _blocks(len(left), probes.vectors.shape[1]):
        a, b = left[rows], right[rows]
        scores[rows] = np.einsum("nd,nd->n", probes.vectors[a], gallery.vectors[b])
    scores[~(probes.there[left] & gallery.there[right])] = NO_FACE
    return scores


def score_blocks(probes: Rows, gallery: Rows, left: Ints, right: Ints) -> Iterable[tuple[slice, Floats]]:
    """Some rows after the other: which of `left`, and their (b, len(right)) cosines with `right`; NO_FACE as above."""
    enrolled = gallery.vectors[right].T
    for rows in _blocks(len(left), len(right)):
        scores = probes.vectors[left[rows]] @ enrolled
        scores[~probes.there[left[rows]]] = NO_FACE
        scores[:, ~gallery.there[right]] = NO_FACE
        yield rows, scores


def _blocks(rows: int, width: int, *, at_once: int = 2**24) -> Iterable[slice]:
    """Slices of rows so that each holds at most `at_once` values of this width."""
    step = max(1, at_once // max(width, 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
