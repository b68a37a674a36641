"""Photos to embeddings, for one model or two: each photo is read and searched for faces once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.align import Image
from faces.console import progress
from faces.detect import Detector
from faces.embed import ModelEmbedder, Vectors
from faces.image import read_image
from faces.pipeline import align_faces, principal_face
from kd.errors import ProtocolInvalid

_CHUNK = 64


def embed_photos(
    folder: Path, photos: Sequence[str], detector: Detector, embedders: Sequence[ModelEmbedder]
) -> list[dict[str, NDArray[np.float32]]]:
    """For each embedder: photo -> (dim,) unit row of its principal face; photos without a face are left out.

    photos: paths relative to folder. Raises ProtocolInvalid for the first that is not there.
    """
    missing = next((photo for photo in photos if not (folder / photo).is_file()), None)
    if missing is not None:
        raise ProtocolInvalid("a photo of the protocol is not there", str(folder / missing), "Check --photos.")
    rows: list[dict[str, NDArray[np.float32]]] = [{} for _ in embedders]
    with progress("reading photos", total=len(photos)) as advance:
        for start in range(0, len(photos), _CHUNK):
            chunk = photos[start : start + _CHUNK]
            found = [_principal_crops(folder / photo, detector, embedders) for photo in chunk]
            named = [(photo, crops) for photo, crops in zip(chunk, found, strict=True) if crops is not None]
            for number, embedder in enumerate(embedders):
                if named:
                    vectors: Vectors = embedder.embed(np.stack([crops[number] for _, crops in named]))
                    rows[number].update(zip((photo for photo, _ in named), vectors, strict=True))
            advance(len(chunk))
    return rows


def _principal_crops(path: Path, detector: Detector, embedders: Sequence[ModelEmbedder]) -> list[Image] | None:
    """The face that the photo is of, cropped as each model wants it; None where there is no face."""
    image = read_image(path.read_bytes())
    (faces,) = detector.detect([image])
    if not faces:
        return None
    face = faces[principal_face(faces, image)]
    return [align_faces(image, [face], embedder.card.crop)[0] for embedder in embedders]
