"""A folder of people to labelled probes: what a threshold is best calibrated on."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from faces.align import align
from faces.detect import Detects
from faces.embed import Crops
from faces.errors import ImageRefused
from faces.image import ImageLimits, read_image
from faces.pipeline import principal_face
from faces.space import digest
from index.build import CardEmbedder, People, Photo, Skipped, photo_bytes
from index.errors import NoProbes, PhotoUnreadable
from index.trials import Probes

_BATCH = 32  # photos


@dataclass(frozen=True, slots=True, eq=False)
class ReadProbes:
    probes: Probes
    skipped: tuple[Skipped, ...]
    """Every photo that is no probe, with the reason."""


def read_probes(
    people: People,
    sources: dict[str, set[str]],
    detector: Detects,
    embedder: CardEmbedder,
    *,
    limits: ImageLimits | None = None,
    report_progress: Callable[[int], None] = lambda _: None,
) -> ReadProbes:
    """The principal face of every photo, embedded.

    sources: as `LocalGallery.sources` gives them. A photo that is enrolled is no probe: it would find itself.
    report_progress: called with the number of photos dealt with.
    Raises NoProbes when none is left.
    """
    allowed = limits or ImageLimits()
    names: list[str] = []
    rows, skipped = [np.empty((0, embedder.space.dim), dtype=np.float32)], list(people.skipped)

    def look(photo: Photo) -> Crops | Skipped:
        return _crop(photo, sources, detector, embedder, allowed)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for start in range(0, len(people.photos), _BATCH):
            batch = people.photos[start : start + _BATCH]
            looks = list(zip(batch, pool.map(look, batch), strict=True))
            skipped += [seen for _, seen in looks if isinstance(seen, Skipped)]
            usable = [(photo.subject_id, seen) for photo, seen in looks if not isinstance(seen, Skipped)]
            if usable:
                names += [name for name, _ in usable]
                rows.append(embedder.embed(np.stack([crop for _, crop in usable])))
            report_progress(len(batch))
    if not names:
        raise NoProbes("no photo can be a probe, of", len(people.photos), _why(skipped))
    return ReadProbes(Probes(tuple(names), np.concatenate(rows)), tuple(skipped))


def _crop(
    photo: Photo, sources: dict[str, set[str]], detector: Detects, embedder: CardEmbedder, limits: ImageLimits
) -> Crops | Skipped:
    """(height, width, 3), or the reason why there is none."""
    path = os.fsencode(photo.path).decode(errors="backslashreplace")
    try:
        data = photo_bytes(photo.path, limits)
        if owners := sources.get(digest(data)):
            return Skipped(path, "photo_is_enrolled", f"This photo is a Template of {min(owners)!r}.")
        image = read_image(data, limits)
    except (ImageRefused, PhotoUnreadable) as error:
        return Skipped(path, error.code, str(error))
    (faces,) = detector.detect([image])
    if not faces:
        return Skipped(path, "no_face", "No face was found.")
    return align(image, faces[principal_face(faces, image)].landmarks, embedder.card.crop)


def _why(skipped: list[Skipped]) -> str:
    first = skipped[0]
    return f"The first was {first.path}: {first.detail} Give photos of faces that are not enrolled."
