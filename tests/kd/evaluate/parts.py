"""Protocols and embeddings made by hand or drawn."""

import numpy as np

from kd.evaluate.protocol import Protocol, Search, Template
from kd.evaluate.templates import Rows


def direction(*values):
    return np.array(values, dtype=np.float32) / np.linalg.norm(values)


def photos_of(subjects):
    """A template of one photo, `0`, `1`, …, for each of these Subjects."""
    return tuple(Template(subject, ((str(photo),),)) for photo, subject in enumerate(subjects))


def search_of(subjects, enrolled):
    """The first so many templates are enrolled, the others searched."""
    templates, every = photos_of(subjects), np.arange(len(subjects))
    return Protocol("drawn", templates, (), (Search("", every[:enrolled], every[enrolled:]),))


def drawn_rows(count, *, seed, dim=4, without_face=0.0):
    """Random unit rows; so large a share of them has no face."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, dim)).astype(np.float32)
    there = rng.random(count) >= without_face
    return Rows(np.where(there[:, None], vectors / np.linalg.norm(vectors, axis=1, keepdims=True), 0), there)
