"""One photo against a gallery: every face, its Candidates and a Decision."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from faces.align import Image
from faces.detect import Detects, Face
from faces.embed import Crops, ModelEmbedder, Vectors
from faces.pipeline import align_faces
from faces.quality import Quality, assess
from faces.space import Recipe
from index.gallery import Candidate, GalleryStats, LocalGallery
from index.threshold import Decision, Threshold, decide

MOST_FACES: Final = 100
"""That are searched for, of one photo."""

Photo = Callable[[], Image]
"""Reads a photo when its turn has come, so that one that waits takes no memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What is left of a photo once it was looked at."""

    width: int
    height: int
    """Pixels, as the photo's EXIF orientation shows it."""
    faces: tuple[Face, ...]
    """The detector's best first."""
    qualities: tuple[Quality, ...]
    crops: Crops
    """(n, h, w, 3): a Crop of each face."""


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """The Candidates of each probe, best first, and the gallery that named them."""

    gallery: GalleryStats
    candidates: Sequence[Sequence[Candidate]]


class Stages(Protocol):
    """Who does the work of `identify`. Each stage stands by itself: several photos may share one run of it."""

    def look(self, photo: Photo) -> Looked: ...

    def embed(self, crops: Crops) -> Vectors: ...

    def search(self, probes: Vectors, top_k: int) -> Near: ...


@dataclass(frozen=True, slots=True, eq=False)
class FoundFace:
    """One face of a photo, and who it is."""

    face: Face
    quality: Quality
    candidates: tuple[Candidate, ...]
    """Best first, a Subject once."""
    decision: Decision
    not_searched: tuple[str, ...] = ()
    """Why nobody was looked for; empty: somebody was."""


@dataclass(frozen=True, slots=True, eq=False)
class Identified:
    """Who is in a photo, and the gallery that said so."""

    gallery: GalleryStats
    width: int
    height: int
    """Pixels, as the photo's EXIF orientation shows it."""
    faces: tuple[FoundFace, ...]
    """The detector's best first."""


def identify(photo: Photo, stages: Stages, threshold: Threshold, top_k: int, *, only_good: bool = False) -> Identified:
    """Every face with its top_k Candidates and a Decision. Raises what the stages raise.

    only_good: a face of which `faces.quality` has a doubt is not searched. Neither are those beyond the first hundred.
    """
    looked = stages.look(photo)
    reasons = [_not_searched(number, quality, only_good) for number, quality in enumerate(looked.qualities)]
    searched = [number for number, why_not in enumerate(reasons) if not why_not]
    near = stages.search(stages.embed(looked.crops[searched]), top_k)
    named = dict(zip(searched, near.candidates, strict=True))
    answers = (
        FoundFace(face, quality, tuple(found), decide(found, threshold), why_not)
        for number, (face, quality, why_not) in enumerate(zip(looked.faces, looked.qualities, reasons, strict=True))
        for found in (named.get(number, ()),)
    )
    return Identified(near.gallery, looked.width, looked.height, tuple(answers))


def _not_searched(number: int, quality: Quality, only_good: bool) -> tuple[str, ...]:
    if number >= MOST_FACES:
        return ("too_many_faces",)
    return quality.reasons if only_good else ()


@dataclass(frozen=True, slots=True, eq=False)
class OneByOne:
    """Stages for a program that has one photo at a time. `search` raises SpaceMismatch, ProbesInvalid."""

    gallery: LocalGallery
    detector: Detects
    embedder: ModelEmbedder

    def look(self, photo: Photo) -> Looked:
        return look(photo, self.detector, self.embedder.card.crop)

    def embed(self, crops: Crops) -> Vectors:
        return self.embedder.embed(crops)

    def search(self, probes: Vectors, top_k: int) -> Near:
        return Near(self.gallery.stats(), self.gallery.search(probes, top_k, space=self.embedder.space))


def look(photo: Photo, detector: Detects, recipe: Recipe, lap: Callable[[str], None] = lambda _: None) -> Looked:
    """What a photo shows.

    lap: told the name of each step when it ends: decode, detect, quality, align.
    """
    image = photo()
    lap("decode")
    (faces,) = detector.detect([image])
    lap("detect")
    qualities = tuple(assess(image, face) for face in faces)
    lap("quality")
    crops = align_faces(image, faces, recipe)
    lap("align")
    height, width = image.shape[:2]
    return Looked(width, height, tuple(faces), qualities, crops)
