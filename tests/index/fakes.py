"""Hand-written parts for tests of `index`: a gallery that is a list, and faces that are coloured squares."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from faces.align import ARCFACE_112, Image
from faces.detect import Face
from faces.embed import Crops, Vectors
from faces.space import Grid, Input, Licence, ModelCard, Space
from index.errors import NothingToEnrol, ProbesInvalid, SubjectUnknown, TemplatesInvalid
from index.gallery import Candidate, GalleryStats, LocalGallery, Receipt, Template, unit_rows

DIM = 8
SPACE = Space(teacher="ab" * 32, dim=DIM, crop="arcface-112")
OTHER_SPACE = Space(teacher="cd" * 32, dim=DIM, crop="dlib-chip-150")
TEACHER_ID = "0123456789abcdef"
RED, GREEN, BLACK = (200, 20, 20), (20, 200, 20), (0, 0, 0)


def direction(*numbers: float) -> Vectors:
    """The unit row (DIM,) that points along these first coordinates."""
    row = np.zeros(DIM, dtype=np.float32)
    row[: len(numbers)] = numbers
    return row / np.linalg.norm(row)


EAST, NORTH, UP = direction(1), direction(0, 1), direction(0, 0, 1)


def random_rows(count: int, seed: int = 0, dim: int = DIM) -> Vectors:
    """(count, dim) unit rows in all directions."""
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def templates(*rows: Vectors, source: str = "", model_id: str = TEACHER_ID) -> list[Template]:
    return [Template(row, model_id, source) for row in rows]


def as_stored(row: Vectors) -> Vectors:
    """What a gallery may make of a unit row: the nearest fp16, in float64 at unit length."""
    rounded = row.astype(np.float16).astype(np.float64)
    return rounded / np.sqrt(np.sum(rounded * rounded))


def cosine(row: Vectors, probe: Vectors) -> float:
    """Of a row as a gallery stores it with a probe, written out."""
    stored = row.astype(np.float16).astype(np.float64)
    return min(1.0, float(np.sum(stored * probe) / np.sqrt(np.sum(stored * stored))))


def card(measured: dict[str, Grid] | None = None) -> ModelCard:
    """Of a teacher of SPACE."""
    return ModelCard(
        name="teacher",
        model_id=TEACHER_ID,
        role="teacher",
        space=SPACE,
        space_id=SPACE.space_id,
        teacher_model_id=TEACHER_ID,
        input=Input(112, 112, "RGB", (127.5, 127.5, 127.5), 128.0),
        crop=ARCFACE_112,
        dim=DIM,
        parameters=1,
        licence=Licence("Apache-2.0", "CC0-1.0", "unknown"),
        trained=None,
        measured=measured or {},
        created="2025-12-24",
    )


@dataclass
class ListGallery:
    """The Gallery that nobody can misread: a list, gone through from one end to the other."""

    space: Space
    rows: list[tuple[int, str, Template]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    last: int = 0
    version: int = 1

    def enrol(
        self, subject_id: str, templates: Sequence[Template], *, space: Space, name: str | None = None
    ) -> list[int]:
        self.space.require_same(space, "Use another Model.")
        if not templates:
            raise NothingToEnrol("no Templates for Subject", subject_id, "Give at least one.")
        for template in templates:
            unit_rows(np.atleast_2d(template.embedding), self.space.dim, TemplatesInvalid)
        self.names[subject_id] = name or self.names.get(subject_id, subject_id)
        ids = [self.last + 1 + n for n in range(len(templates))]
        self.rows += [(number, subject_id, template) for number, template in zip(ids, templates, strict=True)]
        self.last, self.version = ids[-1], self.version + 1
        return ids

    def search(self, probes: Vectors, k: int, *, space: Space) -> list[list[Candidate]]:
        self.space.require_same(space, "Use another Model.")
        if k < 1:
            raise ProbesInvalid("the number of Candidates must be at least 1", k, "Ask for one or more.")
        return [self._nearest(probe, k) for probe in unit_rows(probes, self.space.dim, ProbesInvalid)]

    def _nearest(self, probe: Vectors, k: int) -> list[Candidate]:
        best: dict[str, Candidate] = {}
        for number, subject_id, template in self.rows:
            score = cosine(template.embedding, probe)
            if subject_id not in best or score > best[subject_id].score:
                best[subject_id] = Candidate(subject_id, self.names[subject_id], score, number)
        return sorted(best.values(), key=lambda candidate: (-candidate.score, candidate.template_id))[:k]

    def forget(self, subject_id: str) -> Receipt:
        if subject_id not in self.names:
            raise SubjectUnknown("no such Subject", subject_id, "Check the id that was enrolled.")
        gone = [row for row in self.rows if row[1] == subject_id]
        self.rows = [row for row in self.rows if row[1] != subject_id]
        del self.names[subject_id]
        self.version += 1
        return Receipt(subject_id, len(gone), "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00")

    def check(self) -> list[str]:
        return []

    def stats(self) -> GalleryStats:
        models: dict[str, int] = {}
        for _, _, template in self.rows:
            models[template.model_id] = models.get(template.model_id, 0) + 1
        return GalleryStats(len(self.names), len(self.rows), self.version, self.space.space_id, models)


class Settled:
    """A gallery that keeps no rows apart as new: all are in segments, where its engine looks."""

    def __init__(self, gallery: LocalGallery) -> None:
        self._gallery = gallery
        self.space = gallery.space

    def enrol(
        self, subject_id: str, templates: Sequence[Template], *, space: Space, name: str | None = None
    ) -> list[int]:
        ids = self._gallery.enrol(subject_id, templates, space=space, name=name)
        self._gallery.compact()
        return ids

    def search(self, probes: Vectors, k: int, *, space: Space) -> list[list[Candidate]]:
        return self._gallery.search(probes, k, space=space)

    def forget(self, subject_id: str) -> Receipt:
        return self._gallery.forget(subject_id)

    def check(self) -> list[str]:
        return self._gallery.check()

    def stats(self) -> GalleryStats:
        return self._gallery.stats()


def photo(path: Path, colour: tuple[int, int, int], *, sharp: bool = True, shade: int = 0) -> Path:
    """A face of this colour in a photo of 120 × 120; `shade` tells photos of one colour apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((120, 120, 3), colour, dtype=np.uint8)
    if sharp:
        pixels[::4, ::4] //= 2
    pixels[0, 0] += shade
    Pillow.fromarray(pixels).save(path, "PNG")
    return path


class SquareDetector:
    """Sees so many faces in every photo that is not all black: each fills it. Counts the photos it was shown."""

    def __init__(self, faces: int = 1) -> None:
        self.seen, self.faces = 0, faces

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        self.seen += len(images)
        return [[self._face(image)] * self.faces if image.any() else [] for image in images]

    def _face(self, image: Image) -> Face:
        height, width = image.shape[:2]
        scale = np.array([width / 112, height / 112], dtype=np.float32)
        return Face((0, 0, width, height), 0.99, np.array(ARCFACE_112.points, dtype=np.float32) * scale)


class ColourEmbedder:
    """The embedding of a face is its mean colour."""

    def __init__(self, model: ModelCard | None = None) -> None:
        self.card = model or card()
        self.space = self.card.space
        self.model_id = self.card.model_id

    def embed(self, crops: Crops) -> Vectors:
        rows = np.zeros((len(crops), self.space.dim), dtype=np.float32)
        rows[:, :3] = crops.mean(axis=(1, 2))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)
