"""Embeddings to search, and who is truly the nearest."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.detect import open_detector
from faces.embed import Vectors
from faces.image import read_image
from faces.models import find_model, open_embedder
from faces.pipeline import embed_faces, principal_face

Rows = NDArray[np.int64]

PER_SUBJECT = 4
MATE_COSINE = 0.66  # of two photos of one person
SPECTRUM = -0.35  # the variance of the i-th principal axis falls as i to twice this power
_BLOCK = 16384


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Templates to enrol and probes to search them with."""

    stored: Vectors
    """(n, dim) as a store keeps them: rounded to fp16."""
    unit: Vectors
    """(n, dim) the same, at unit length."""
    owners: Rows
    """(n,)"""
    probes: Vectors
    """(m, dim) unit rows; every one's Subject is enrolled."""


def synthetic(count: int, probes: int, dim: int, seed: int) -> People:
    """Noisy photos of random people: as unlike each other in direction, and as crowded, as faces are."""
    random = np.random.default_rng(seed)
    axes = np.arange(1, dim + 1, dtype=np.float32) ** SPECTRUM
    turn = np.linalg.qr(random.standard_normal((dim, dim)))[0].astype(np.float32)
    subjects = max(1, count // PER_SUBJECT)
    centres = _unit(random.standard_normal((subjects, dim), dtype=np.float32) * axes)
    owners = np.concatenate([np.arange(count) % subjects, random.integers(0, subjects, probes)])
    rows = np.empty((len(owners), dim), dtype=np.float32)
    for start in range(0, len(owners), _BLOCK):
        noise = _unit(random.standard_normal((len(owners[start : start + _BLOCK]), dim), dtype=np.float32) * axes)
        photos = centres[owners[start : start + _BLOCK]] + noise * np.float32((1 / MATE_COSINE - 1) ** 0.5)
        rows[start : start + _BLOCK] = _unit(photos @ turn)
    return _people(rows[:count], owners[:count], rows[count:])


def photographed(folder: Path, model: str) -> People:
    """The faces of FOLDER/person/photo.jpg; the last photo of whoever has two is a probe, the rest are enrolled."""
    detector, embedder = open_detector(), open_embedder(find_model(model))
    rows, owners, probes = [], [], []
    for number, person in enumerate(sorted(folder.iterdir())):
        found = []
        for photo in sorted(person.glob("*.jpg")):
            image = read_image(photo.read_bytes())
            (faces,) = detector.detect([image])
            if faces:
                found.append(embed_faces(image, [faces[principal_face(faces, image)]], embedder)[0])
        probes += found[1:][-1:]
        kept = found[:-1] or found
        rows += kept
        owners += [number] * len(kept)
    return _people(np.array(rows), np.array(owners), np.array(probes))


def _people(rows: Vectors, owners: Rows, probes: Vectors) -> People:
    stored = rows.astype(np.float16).astype(np.float32)
    return People(stored, _unit(stored.copy()), owners, np.ascontiguousarray(probes))


def _unit(rows: Vectors) -> Vectors:
    """In place."""
    for start in range(0, len(rows), _BLOCK):
        rows[start : start + _BLOCK] /= np.linalg.norm(rows[start : start + _BLOCK], axis=1, keepdims=True)
    return rows


def nearest(people: People, depth: int) -> Rows:
    """(m, depth) rows by their cosine with each probe, in float64; best first, equal ones by row.

    Brute force: every product in float32, and those of the 2 · depth highest anew.
    """
    few = min(2 * depth, len(people.unit))
    scores = np.full((len(people.probes), 0), 0, dtype=np.float32)
    rows = np.zeros(scores.shape, dtype=np.int64)
    for start in range(0, len(people.unit), _BLOCK):
        block = people.probes @ people.unit[start : start + _BLOCK].T
        scores = np.hstack([scores, block])
        rows = np.hstack([rows, np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)])
        if scores.shape[1] > few:
            kept = np.argpartition(scores, -few, axis=1)[:, -few:]
            scores, rows = np.take_along_axis(scores, kept, axis=1), np.take_along_axis(rows, kept, axis=1)
    answers = np.empty((len(rows), min(depth, few)), dtype=np.int64)
    for probe, (vector, near) in enumerate(zip(people.probes.astype(np.float64), rows, strict=True)):
        stored = people.stored[near].astype(np.float64)
        exact = (stored * vector).sum(axis=1) / np.sqrt((stored * stored).sum(axis=1))
        answers[probe] = near[np.lexsort((near, -exact))[: answers.shape[1]]]
    return answers


def of_each_subject(people: People, near: Rows, k: int) -> list[list[int]]:
    """The best rows of the k nearest Subjects, from (m, depth) rows that are deep enough to have them."""
    answers = []
    for rows in near:
        _, first = np.unique(people.owners[rows], return_index=True)
        answers.append(rows[np.sort(first)[:k]].tolist())
    return answers
