"""A gallery of any size: real people, enrolled from their photos, among Subjects that never were.

The others' Templates are drawn from a normal distribution with the mean and the covariance of the real ones, then made
unit rows: they are as near to each other, and to a probe, as those of strangers are.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.detect import open_detector
from faces.embed import ModelEmbedder
from faces.models import find_model, open_embedder
from index.build import build_gallery, find_people
from index.gallery import Enrolment, Template, create_gallery

Rows = NDArray[np.float32]

AT_ONCE = 10_000  # Subjects a commit


def write_gallery(path: Path, people: Path, teacher: str, subjects: int, seed: int) -> None:
    """`people` enrolled by `teacher`, and others up to so many Subjects."""
    embedder = open_embedder(find_model(teacher))
    with create_gallery(path, embedder.space) as gallery:
        build_gallery(find_people(people), gallery, open_detector(), embedder)
        real = gallery.ends(subjects).oldest
        for enrolments in crowd(real, subjects - len(real), embedder, seed):
            gallery.enrol_all(enrolments, space=embedder.space)


def crowd(real: Rows, count: int, embedder: ModelEmbedder, seed: int) -> Iterator[list[Enrolment]]:
    """So many Subjects of one Template each, AT_ONCE at a time; real: (n, dim)."""
    draw = np.random.default_rng(seed)
    mean, covariance = real.mean(axis=0), np.cov(real, rowvar=False)
    for start in range(0, count, AT_ONCE):
        rows = draw.multivariate_normal(mean, covariance, min(AT_ONCE, count - start), method="eigh")
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        yield [Enrolment(f"nobody-{start + i:07d}", [Template(row, embedder.model_id)]) for i, row in enumerate(rows)]
