"""One photo against a gallery: every face, its Candidates and a Decision."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from faces.align import Image
from faces.detect import Detector
from faces.embed import ModelEmbedder
from faces.pipeline import ReadFace, read_faces
from faces.quality import Quality
from index.calibrate import Decision, Threshold, decide
from index.gallery import Candidate, GalleryStats, LocalGallery


@dataclass(frozen=True, slots=True)
class ModelNamed:
    model_id: str
    space_id: str
    name: str
    role: Literal["teacher", "student"]


@dataclass(frozen=True, slots=True)
class Size:
    """Pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Box:
    """Pixels, inside the photo."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, slots=True)
class DecisionMade:
    """A Decision, laid flat; see `index.calibrate.Threshold` for the fields. `subject_id` None: unknown."""

    subject_id: str | None
    threshold: float
    fpir: float | None
    calibrated_on: str
    subjects: int
    date: str


@dataclass(frozen=True, slots=True)
class FaceAnswer:
    box: Box
    score: float
    """Of the detector."""
    landmarks: list[list[float]]
    quality: Quality
    candidates: list[Candidate]
    decision: DecisionMade


@dataclass(frozen=True, slots=True)
class PhotoAnswer:
    """Printed by `index search --json`; the fields it shares with the answer of `POST /identify` have its names."""

    model: ModelNamed
    gallery: GalleryStats
    image: Size
    faces: list[FaceAnswer]


def identify(
    image: Image, gallery: LocalGallery, detector: Detector, embedder: ModelEmbedder, threshold: Threshold, top_k: int
) -> PhotoAnswer:
    """Who is in the photo; faces with the best detector score first. Raises SpaceMismatch, ProbesInvalid."""
    card = embedder.card
    read = read_faces(image, detector, embedder)
    probes = np.array([face.embedding for face in read], dtype=np.float32).reshape(len(read), card.dim)
    found = gallery.search(probes, top_k, space=embedder.space)
    height, width = image.shape[:2]
    return PhotoAnswer(
        ModelNamed(card.model_id, card.space_id, card.name, card.role),
        gallery.stats(),
        Size(width, height),
        [
            _answer(face, candidates, decide(candidates, threshold))
            for face, candidates in zip(read, found, strict=True)
        ],
    )


def _answer(read: ReadFace, candidates: list[Candidate], decision: Decision) -> FaceAnswer:
    by = decision.threshold
    return FaceAnswer(
        Box(*read.face.box),
        read.face.score,
        read.face.landmarks.tolist(),
        read.quality,
        candidates,
        DecisionMade(decision.subject_id, by.value, by.fpir, by.calibrated_on, by.subjects, by.date),
    )
