"""Folders of people -> one array of aligned faces.

Every face is kept as a canonical crop: 128 × 128 pixels, the ArcFace template moved by (8, 8). The rim is there for
augmentation, and for teachers whose own crop reaches further than ArcFace's.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faces.align import ARCFACE_112, Image, align
from faces.console import progress
from faces.detect import Detector
from faces.errors import ImageRefused
from faces.files import write_whole
from faces.image import IMAGE_SUFFIXES, read_image
from faces.pipeline import principal_face
from faces.space import Recipe
from kd.errors import DataUnusable

RIM: Final = 8
SIDE: Final = ARCFACE_112.width + 2 * RIM
CANONICAL: Final = Recipe("arcface-128", SIDE, SIDE, tuple((x + RIM, y + RIM) for x, y in ARCFACE_112.points))  # type: ignore[arg-type]
UNLABELLED: Final = "unlabelled"
"""A folder of this name mixes people: its faces have no label."""

_CHUNK: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Faces with the people they show."""

    crops: NDArray[np.uint8]
    """(n, 128, 128, 3) RGB, canonical."""
    labels: NDArray[np.int64]
    """(n,), indices into names; -1 where nobody knows."""
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    """(path, reason) of every file that gave no face."""


def prepare_people(roots: Sequence[Path], folder: Path, open_detector: Callable[[], Detector]) -> People:
    """Read every photo under `roots` once, and keep the faces in `folder`, a folder of its own, for the next start.

    Each root holds a folder per person; the same name under two roots is the same person. Files of 112 × 112 or
    128 × 128 pixels are taken as aligned crops; in any other photo the principal face is found and aligned.
    Raises DataUnusable when no face with a label is left.
    """
    crops_file, people_file = folder / "crops.npy", folder / "people.json"
    photos = _photos(roots)
    listing = [[str(path), path.stat().st_size] for path, _ in photos]
    if people_file.is_file() and json.loads(people_file.read_bytes())["listing"] == listing:
        return read_people(folder)
    shutil.rmtree(folder, ignore_errors=True)  # what was computed from other photos goes with them
    folder.mkdir(parents=True)
    found: list[str] = []
    skipped: list[tuple[str, str]] = []
    part = crops_file.with_name("crops.part.npy")
    crops = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(len(photos), SIDE, SIDE, 3))
    for (path, name), face in zip(photos, _faces([path for path, _ in photos], open_detector), strict=True):
        if isinstance(face, str):
            skipped.append((str(path), face))
        else:
            crops[len(found)] = face
            found.append(name)
    if not any(name != UNLABELLED for name in found):
        raise DataUnusable(
            "no face of a named person", ", ".join(map(str, roots)), "Give folders of people: ROOT/PERSON/*.jpg."
        )
    crops.flush()
    part.replace(crops_file)
    kept = {"listing": listing, "people": found, "skipped": skipped}
    write_whole(people_file, json.dumps(kept).encode())
    return read_people(folder)


def read_people(folder: Path) -> People:
    """What `prepare_people` kept in this folder."""
    crops, kept = np.load(folder / "crops.npy", mmap_mode="r"), json.loads((folder / "people.json").read_bytes())
    names = tuple(sorted(set(kept["people"]) - {UNLABELLED}))
    number = {name: label for label, name in enumerate(names)} | {UNLABELLED: -1}
    labels = np.array([number[name] for name in kept["people"]], dtype=np.int64)
    return People(crops[: len(labels)], labels, names, tuple((path, reason) for path, reason in kept["skipped"]))


def _photos(roots: Sequence[Path]) -> list[tuple[Path, str]]:
    """(photo, person), in an order that does not depend on the file system."""
    photos = [
        (path, path.parent.name)
        for root in roots
        for path in sorted(root.glob("*/*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    if not photos:
        raise DataUnusable("no photos", ", ".join(map(str, roots)), "Give folders of people: ROOT/PERSON/*.jpg.")
    return photos


def _faces(paths: Sequence[Path], open_detector: Callable[[], Detector]) -> Iterator[Image | str]:
    """The canonical crop of each photo, or why there is none; the detector is opened when a photo first needs it."""
    detector: list[Detector] = []
    with ThreadPoolExecutor() as pool, progress("reading faces", total=len(paths)) as advance:
        for start in range(0, len(paths), _CHUNK):
            for photo in pool.map(_read, paths[start : start + _CHUNK]):
                if isinstance(photo, str) or photo.shape[:2] == (SIDE, SIDE):
                    yield photo
                elif photo.shape[:2] == (ARCFACE_112.height, ARCFACE_112.width):
                    yield np.pad(photo, ((RIM, RIM), (RIM, RIM), (0, 0)))
                else:
                    detector = detector or [open_detector()]
                    yield _aligned(photo, detector[0])
                advance(1)


def _read(path: Path) -> Image | str:
    try:
        return read_image(path.read_bytes())
    except (ImageRefused, OSError) as error:
        return error.what if isinstance(error, ImageRefused) else str(error.strerror)


def _aligned(photo: Image, detector: Detector) -> Image | str:
    (faces,) = detector.detect([photo])
    return align(photo, faces[principal_face(faces, photo)].landmarks, CANONICAL) if faces else "no face found"
