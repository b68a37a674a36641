"""Labelled photos to try a model with: from a folder of people, or as they were sent."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from app.errors import ProbesMissing
from app.swap import Active
from app.trial import Trial
from faces.align import Image
from faces.detect import Detects, Face
from faces.embed import Vectors
from faces.errors import ImageRefused
from faces.image import ImageLimits, read_image
from faces.pipeline import embed_faces, principal_face
from index.build import find_people, photo_bytes
from index.errors import NothingToEnrol, PhotoUnreadable, SubjectUnknown
from index.gallery import Candidate, LocalGallery

STRANGERS: Final = "_strangers"
"""The folder of people who are not enrolled and whose names nobody knows: each photo is somebody else."""

_CANDIDATES: Final = 5  # for each probe; a negative example can pass over the first of them


@dataclass(frozen=True, slots=True)
class Probe:
    person: str
    """A subject id, STRANGERS, or anything else."""
    name: str
    """How a reader knows the photo: `PERSON/FILE`, as it was sent or as it lies."""
    read: Callable[[], bytes]
    """Raises PhotoUnreadable."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A photo that is no probe. `reason` is a stable code, `detail` a sentence."""

    name: str
    reason: str
    detail: str


def probes_in(folder: Path, limits: ImageLimits) -> list[Probe]:
    """Every photo of a folder of people. Raises ProbesMissing where there is none."""
    try:
        people = find_people(folder)
    except (NothingToEnrol, PhotoUnreadable) as error:
        raise ProbesMissing(error.what, error.value, error.remedy) from None
    return [
        Probe(photo.subject_id, f"{photo.subject_id}/{photo.path.name}", partial(photo_bytes, photo.path, limits))
        for photo in people.photos
    ]


class Searcher:
    """Lets two models search one gallery for the same probes."""

    def __init__(self, gallery: LocalGallery, detector: Detects, limits: ImageLimits, old: Active, new: Active) -> None:
        self.gallery: Final = gallery
        self._detector, self._limits = detector, limits
        self._models = (old, new)
        sources = gallery.sources()
        self._photos = np.unique(np.array([_number(source) for source in sources], dtype=np.uint64))

    def tried(self, probes: Sequence[Probe]) -> Iterator[Trial | Skipped]:
        """Each probe searched for, or the reason why it is none. The principal face of a photo is meant."""
        enrolled = {person for person in {probe.person for probe in probes} if self._is_enrolled(person)}
        return (self._try(probe, probe.person in enrolled) for probe in probes)

    def _is_enrolled(self, person: str) -> bool:
        """Is there a Subject of this id, with a Template to be found by?"""
        try:
            return self.gallery.subject(person).templates > 0
        except SubjectUnknown:
            return False

    def _try(self, probe: Probe, mated: bool) -> Trial | Skipped:
        try:
            data = probe.read()
            if _number(hashlib.sha256(data).hexdigest()) in self._photos:
                return Skipped(probe.name, "photo_is_enrolled", "A Template was made of this photo: it finds itself.")
            image = read_image(data, self._limits)
        except (ImageRefused, PhotoUnreadable) as error:
            return Skipped(probe.name, error.code, str(error))
        (faces,) = self._detector.detect([image])
        if not faces:
            return Skipped(probe.name, "no_face", "No face was found.")
        face = faces[principal_face(faces, image)]
        old, new = (self._search(model, image, face) for model in self._models)
        person = probe.name if probe.person == STRANGERS else probe.person
        return Trial(person, probe.person if mated else None, old, new)

    def _search(self, model: Active, image: Image, face: Face) -> tuple[Candidate, ...]:
        probe: Vectors = embed_faces(image, [face], model.embedder)
        (found,) = self.gallery.search(probe, _CANDIDATES, space=model.embedder.space)
        return tuple(found)


def _number(source: str) -> np.uint64:
    """Of the SHA-256 of a photo, in hex, as much as tells one photo from a million others."""
    return np.uint64(int(source[:16], 16))
