"""Folders of people and record files -> canonical crops, and whom each shows."""

import io
import json
import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faces.align import Image, align
from faces.console import progress
from faces.detect import Detector
from faces.errors import ImageRefused
from faces.files import write_whole
from faces.image import IMAGE_SUFFIXES, read_image
from faces.pipeline import principal_face
from faces.space import digest
from kd.data.crops import CANONICAL, SIDE, Chosen, Crops, Joined, framed
from kd.data.recordio import DIGITS, RecordCrops, index_of, scan_records
from kd.data.room import reserved, unwritable_in_words
from kd.errors import DataUnusable

UNLABELLED: Final = "unlabelled"
"""A folder of this name mixes people: its faces have no label."""

_CHUNK: Final = 256
_REMEDY: Final = "Give folders of people, ROOT/PERSON/*.jpg, or InsightFace .rec files."

Skipped = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Faces with the people they show."""

    crops: Crops
    """n of them."""
    labels: NDArray[np.int64]
    """(n,), indices into names; -1 where nobody knows."""
    names: tuple[str, ...]
    skipped: Skipped
    """(path, reason) of every file, record and folder that gave no face."""


def prepare_people(roots: Sequence[Path], folder: Path, open_detector: Callable[[], Detector]) -> People:
    """Look at every photo under `roots` once, and keep what was found in `folder`, a folder of its own.

    A root is a folder that holds a folder per person, or an InsightFace `.rec` file with its `.idx` beside it. Of
    photos, the crops are kept: a file of 112 × 112 or 128 × 128 pixels is taken as one, in any other the principal face
    is found and aligned. Of a record file, it is kept where its readable crops are; they stay there.

    The same name under two roots is the same person, however its accents are encoded; names that differ in case are two
    people, as ids do. People of a record file are named by their labels, eight digits each, so that a classifier's rows
    in the order of labels are in the order of names (a label without a readable image has no name); those of several
    files are different people: "0-00000012" is person 12 of the first. A person may have one photo.

    Raises DataUnusable: a root without people, a record file that cannot be used, no face of a named person, a folder
    that holds something else. Raises DataUnwritable. What was kept before is replaced when all has been read, and not
    before.
    """
    found = _look(roots)
    listing = found.listing()
    if (folder / "people.json").is_file() and json.loads((folder / "people.json").read_bytes())["listing"] == listing:
        return read_people(folder)
    _require_own(folder)
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    with unwritable_in_words(folder):
        part.mkdir(parents=True)
        try:
            skipped = [(str(path), "no photo in this folder") for path in found.empty]
            for place, path in enumerate(found.records):
                skipped += _keep_records(path, part / f"records-{place:03d}.npz")
            shown, without = _keep_photos(found.photos, part / "crops.npy", open_detector)
            if not found.records and not any(name != UNLABELLED for name in shown):
                raise DataUnusable("no face of a named person", ", ".join(map(str, roots)), _REMEDY)
            kept = {"listing": listing, "people": shown, "skipped": skipped + without}
            write_whole(part / "people.json", json.dumps(kept).encode())
            shutil.rmtree(folder, ignore_errors=True)  # what was computed from other photos goes with them
            part.replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return read_people(folder)


def read_people(folder: Path) -> People:
    """What `prepare_people` kept in this folder: faces of photos first, then each record file's."""
    kept = json.loads((folder / "people.json").read_bytes())
    records = sorted(folder.glob("records-*.npz"))
    sources = [_Source.of_photos(folder / "crops.npy", kept["people"])] if kept["people"] else []
    for place, file in enumerate(records):
        sources.append(_Source.of_records(file, prefix=f"{place}-" if len(records) > 1 else ""))
    names = tuple(sorted({name for source in sources for name in source.names} - {UNLABELLED}))
    label = {name: number for number, name in enumerate(names)} | {UNLABELLED: -1}
    labels = [np.array([label[name] for name in source.names], dtype=np.int64)[source.who] for source in sources]
    crops = sources[0].crops if len(sources) == 1 else Joined([source.crops for source in sources])
    return People(crops, np.concatenate(labels), names, tuple((path, reason) for path, reason in kept["skipped"]))


def photos_digest(roots: Sequence[Path]) -> str:
    """What the photos under `roots` are known by: their paths and sizes, digested. Raises DataUnusable."""
    return digest(json.dumps(_look(roots).listing()).encode())


def kept_digest(folder: Path) -> str | None:
    """The same of the photos that `prepare_people` kept in this folder; None where it holds none."""
    file = folder / "people.json"
    return digest(json.dumps(json.loads(file.read_bytes())["listing"]).encode()) if file.is_file() else None


def shown_people(people: People, photos_each: tuple[int, int | None]) -> People:
    """The faces that a run with these bounds learns from: without bounds all, unlabelled ones too.

    Raises DataUnusable.
    """
    return people if photos_each == (1, None) else only_people_with(people, *photos_each)


def only_people_with(people: People, first: int, last: int | None) -> People:
    """The faces of people with at least `first` and at most `last` photos; of unlabelled faces, none.

    Names stay, and so does each person's label: rows of a classifier of all of them still fit. Raises DataUnusable.
    """
    counts = np.bincount(people.labels[people.labels >= 0], minlength=len(people.names))
    wanted = (counts >= first) & (counts <= (len(people.labels) if last is None else last))
    rows = np.flatnonzero(np.append(wanted, False)[people.labels])  # label -1 meets the last
    if not rows.size:
        bounds = f"{first} to {'any number of' if last is None else last}"
        raise DataUnusable(f"nobody has so many photos; the most is {counts.max()}", bounds, "Widen the bounds.")
    return People(Chosen(people.crops, rows), people.labels[rows], people.names, people.skipped)


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """Crops of one origin. who: (n,), indices into names."""

    crops: Crops
    who: NDArray[np.int64]
    names: tuple[str, ...]

    @staticmethod
    def of_photos(file: Path, people: list[str]) -> "_Source":
        names = sorted(set(people))
        number = {name: at for at, name in enumerate(names)}
        crops = np.load(file, mmap_mode="r")[: len(people)]
        return _Source(crops, np.array([number[name] for name in people], dtype=np.int64), tuple(names))

    @staticmethod
    def of_records(file: Path, prefix: str) -> "_Source":
        with np.load(file) as kept:
            labels, who = np.unique(kept["labels"], return_inverse=True)
            crops = RecordCrops(Path(str(kept["path"])), str(kept["header"]), kept["offsets"])
        return _Source(crops, who, tuple(f"{prefix}{label:0{DIGITS}}" for label in labels))


@dataclass(frozen=True, slots=True)
class _Found:
    """What there is to read under some roots."""

    records: list[Path]
    photos: list[tuple[Path, Path]]
    """(photo, folder of its person)."""
    empty: list[Path]
    """Folders of people without a photo."""

    def listing(self) -> list[list[str | int]]:
        """Paths and sizes of all of it: while they stay, nothing is read again."""
        records = (file for path in self.records for file in (path, index_of(path)))
        files = [path for path in (*(photo for photo, _ in self.photos), *records) if path.exists()]
        sizes = {path: path.stat().st_size for path in files} | dict.fromkeys(self.empty, 0)
        return [[str(path), size] for path, size in sizes.items()]


def _look(roots: Sequence[Path]) -> _Found:
    folders, records = _sorted_out(roots)
    people = [person for root in folders for person in _people_folders(root)]
    photos = [(photo, person) for person in people for photo in _photos(person)]
    return _Found(records, photos, sorted({*people} - {person for _, person in photos}))


def _require_own(folder: Path) -> None:
    """What is about to be replaced must be what was kept here before."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "people.json").is_file():
        raise DataUnusable(
            "a folder that holds something else than prepared faces", str(folder), "Give a new one, or empty it."
        )


def _sorted_out(roots: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Folders of people, and record files, each once."""
    once = list({root.resolve(): root for root in roots}.values())
    folders = [root for root in once if root.is_dir()]
    records = [root for root in once if root.is_file() and root.suffix.lower() == ".rec"]
    for root in once:
        if root not in folders and root not in records:
            raise DataUnusable("neither a folder nor a .rec file", str(root), _REMEDY)
    return folders, records


def _people_folders(root: Path) -> list[Path]:
    """In an order that does not depend on the file system. Raises DataUnusable when the root holds no photo at all."""
    found = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not any(_photos(path) for path in found):
        raise DataUnusable("no photos of people", str(root), _REMEDY)
    return found


def _photos(person: Path) -> list[Path]:
    return sorted(
        path for path in person.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


def _keep_records(path: Path, file: Path) -> Skipped:
    """Where a record file's crops are and whom they show, into `file`."""
    images = scan_records(path)
    buffer = io.BytesIO()
    np.savez(buffer, path=str(path.resolve()), header=images.header, offsets=images.offsets, labels=images.labels)
    write_whole(file, buffer.getvalue())
    return images.skipped


def _keep_photos(
    photos: Sequence[tuple[Path, Path]], file: Path, open_detector: Callable[[], Detector]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Crops into `file`; whom each shows, and what gave none and why. photos: (photo, folder of its person)."""
    found: list[str] = []
    skipped: list[tuple[str, str]] = []
    if not photos:
        return found, skipped
    crops = reserved(file, (len(photos), SIDE, SIDE, 3), np.dtype(np.uint8))
    for (path, person), face in zip(photos, _faces([path for path, _ in photos], open_detector), strict=True):
        if isinstance(face, str):
            skipped.append((str(path), face))
        else:
            crops[len(found)] = face
            found.append(unicodedata.normalize("NFC", person.name))
    crops.flush()
    return found, skipped


def _faces(paths: Sequence[Path], open_detector: Callable[[], Detector]) -> Iterator[Image | str]:
    """The canonical crop of each photo, or why there is none; the detector is opened when a photo first needs it."""
    detector: list[Detector] = []
    with ThreadPoolExecutor() as pool, progress("reading faces", total=len(paths)) as advance:
        for start in range(0, len(paths), _CHUNK):
            for photo in pool.map(_read, paths[start : start + _CHUNK]):
                if isinstance(photo, str):
                    yield photo
                elif (crop := framed(photo)) is not None:
                    yield crop
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
