"""What one request works with: the model that was active when it began, one collection, and the stages."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.errors import FaceNotFound
from app.stages import RequestStages
from app.swap import Active
from app.thresholds import Thresholds
from faces.detect import Face
from faces.embed import Vectors
from faces.image import ImageLimits, read_image
from faces.pipeline import prominence
from faces.quality import Quality
from index.gallery import LocalGallery
from index.identify import Looked, Photo
from index.threshold import Threshold

Read = Callable[[], bytes]
"""Gives a photo's bytes when its turn has come."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What the caller wants to decide by; nothing: what the service was started with."""

    fpir: float | None = None
    value: float | None = None
    """A cosine."""


@dataclass(frozen=True, slots=True, eq=False)
class OneFace:
    """The face that a photo is of."""

    width: int
    height: int
    """Pixels of the photo."""
    face: Face
    quality: Quality
    embedding: Vectors
    """(dim,), of unit length."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    active: Active
    gallery: LocalGallery
    stages: RequestStages
    thresholds: Thresholds
    limits: ImageLimits

    def photo(self, read: Read) -> Photo:
        """Raises, when read, ImageTooLarge, ImageTypeRefused, ImageUnreadable."""
        return lambda: read_image(read(), self.limits)

    def look(self, read: Read) -> Looked:
        """Raises the same, and what `Ticket.result` raises."""
        return self.stages.look(self.photo(read))

    def one_face(self, read: Read, field: str) -> OneFace:
        """The face that the photo in this field is of. Raises FaceNotFound, and what `look` raises."""
        looked = self.look(read)
        if not looked.faces:
            raise FaceNotFound("no face was found in", field, "Send a photo of one face.")
        number = principal(looked)
        (embedding,) = self.stages.embed(looked.crops[[number]])
        return OneFace(looked.width, looked.height, looked.faces[number], looked.qualities[number], embedding)

    def threshold(self, rule: Rule) -> Threshold:
        """Raises NotCalibrated."""
        return self.thresholds.deciding(self.gallery, self.active.card, fpir=rule.fpir, value=rule.value)


def principal(looked: Looked) -> int:
    """Which face a photo is of, as `faces.pipeline.principal_face`; it has one at least."""
    return int(np.argmax(prominence(looked.faces, looked.width, looked.height)))
