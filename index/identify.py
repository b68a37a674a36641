"""One photo against a gallery: every face, its Candidates and a Decision."""

from collections.abc import Callable
from dataclasses import dataclass

from faces.align import Image
from faces.detect import Detects, Face
from faces.embed import ModelEmbedder
from faces.pipeline import align_faces
from faces.quality import Quality, assess
from index.gallery import Candidate, GalleryStats, LocalGallery
from index.threshold import Decision, Threshold, decide


@dataclass(frozen=True, slots=True, eq=False)
class FoundFace:
    """One face of a photo, and who it is."""

    face: Face
    quality: Quality
    candidates: tuple[Candidate, ...]
    """Best first, a Subject once."""
    decision: Decision


@dataclass(frozen=True, slots=True, eq=False)
class Identified:
    """Who is in a photo, and the gallery that said so."""

    gallery: GalleryStats
    width: int
    height: int
    """Pixels, as the photo's EXIF orientation shows it."""
    faces: tuple[FoundFace, ...]
    """The detector's best first."""


def identify(
    image: Image,
    gallery: LocalGallery,
    detector: Detects,
    embedder: ModelEmbedder,
    threshold: Threshold,
    top_k: int,
    lap: Callable[[str], None] = lambda _: None,
) -> Identified:
    """Every face with its top_k Candidates and a Decision. Raises SpaceMismatch, ProbesInvalid.

    lap: told the name of each stage when it ends: detect, quality, align, embed, search.
    """
    (faces,) = detector.detect([image])
    lap("detect")
    qualities = [assess(image, face) for face in faces]
    lap("quality")
    crops = align_faces(image, faces, embedder.card.crop)
    lap("align")
    probes = embedder.embed(crops)
    lap("embed")
    stats = gallery.stats()
    found = gallery.search(probes, top_k, space=embedder.space)
    lap("search")
    height, width = image.shape[:2]
    answers = (
        FoundFace(face, quality, tuple(candidates), decide(candidates, threshold))
        for face, quality, candidates in zip(faces, qualities, found, strict=True)
    )
    return Identified(stats, width, height, tuple(answers))
