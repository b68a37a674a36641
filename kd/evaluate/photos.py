"""Photos to embeddings: each photo is decoded and searched once, for all models, resolutions and protocols of a run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faces.align import Image, align
from faces.console import progress
from faces.detect import Detector
from faces.embed import ModelEmbedder
from faces.errors import ImageRefused
from faces.image import read_image
from faces.pipeline import principal_face
from kd.data.crops import CANONICAL, framed
from kd.data.views import coarsened
from kd.errors import ProtocolInvalid
from kd.evaluate.protocol import Protocol

_CHUNK: Final = 64

Pixels = int | None
"""Across the ArcFace-112 square of a photo's face; None for the photo as it is."""
Embeddings = dict[str, NDArray[np.float32]]
"""Photo -> (dim,) unit row; a photo without a face is not in it."""
Asked = dict[str, set[Pixels]]
"""Photo -> at which resolutions it is shown."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    rows: Mapping[tuple[int, Pixels], Embeddings]
    """(number of the embedder, resolution) -> what was asked for there."""
    failed: Mapping[str, str]
    """Photo -> why it gave no embedding."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundFace:
    """A face in the pixels that it was found in."""

    image: Image
    landmarks: NDArray[Any]


def photos_asked(protocols: Sequence[Protocol], resolutions: Iterable[int]) -> Asked:
    """Every photo as it is, and those of probes at each resolution besides."""
    asked: Asked = {}
    for protocol in protocols:
        for photo in protocol.photos(range(len(protocol.templates))):
            asked.setdefault(photo, set()).add(None)
        for photo in protocol.photos(protocol.probes()):
            asked[photo] |= set(resolutions)
    return asked


def embed_photos(
    asked: Asked, crops: Sequence[Mapping[str, Image]], detector: Detector, embedders: Sequence[ModelEmbedder]
) -> Embedded:
    """The embeddings of each photo's principal face by each embedder, at each resolution that is asked for.

    crops: each protocol's canonical crops of what is no file and needs no detection. A file of 112 × 112 or 128 × 128
    pixels is taken as an aligned crop, as `kd train` does. A probe at a resolution is the canonical crop brought down
    by area and up again, linearly, and then cropped by each model's own recipe.
    Raises ProtocolInvalid for the first photo that is not there; one that does not read counts as without a face.
    """
    held = {photo: source for source in crops for photo in source}
    missing = next((photo for photo in asked if photo not in held and not Path(photo).is_file()), None)
    if missing is not None:
        raise ProtocolInvalid("a photo of the protocol is not there", missing, "Check --photos.")
    rows: dict[tuple[int, Pixels], Embeddings] = {}
    failed: dict[str, str] = {}
    photos = list(asked)
    with progress("reading photos", total=len(photos)) as advance:
        for start in range(0, len(photos), _CHUNK):
            chunk = photos[start : start + _CHUNK]
            found = {photo: find_face(photo, held.get(photo), detector) for photo in chunk}
            failed |= {photo: face for photo, face in found.items() if isinstance(face, str)}
            faces = {photo: face for photo, face in found.items() if isinstance(face, FoundFace)}
            for pixels in {pixels for photo in faces for pixels in asked[photo]}:
                shown = {photo: _shown(face, pixels) for photo, face in faces.items() if pixels in asked[photo]}
                for number, embedder in enumerate(embedders):
                    vectors = embedder.embed(_crops(list(shown.values()), embedder))
                    rows.setdefault((number, pixels), {}).update(zip(shown, vectors, strict=True))
            advance(len(chunk))
    return Embedded(rows, failed)


def find_face(photo: str, held: Mapping[str, Image] | None, detector: Detector) -> FoundFace | str:
    """The face that the photo is of, or why there is none."""
    try:
        image = read_image(Path(photo).read_bytes()) if held is None else held[photo]
    except (ImageRefused, OSError) as error:
        return error.what if isinstance(error, ImageRefused) else str(error.strerror)
    canonical = framed(image)
    if canonical is not None:
        return FoundFace(canonical, np.array(CANONICAL.points))
    (faces,) = detector.detect([image])
    return FoundFace(image, faces[principal_face(faces, image)].landmarks) if faces else "no face found"


def _shown(face: FoundFace, pixels: Pixels) -> FoundFace:
    if pixels is None:
        return face
    canonical = align(face.image, face.landmarks, CANONICAL)
    return FoundFace(coarsened(canonical, pixels), np.array(CANONICAL.points))


def _crops(faces: Sequence[FoundFace], embedder: ModelEmbedder) -> NDArray[np.uint8]:
    return np.stack([align(face.image, face.landmarks, embedder.card.crop) for face in faces])
