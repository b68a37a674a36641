"""A folder of people to a gallery: every photo is enrolled, or named with the reason why not."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from faces.align import align
from faces.detect import Detects
from faces.embed import Crops, Embedder, Vectors
from faces.errors import ImageRefused
from faces.image import IMAGE_SUFFIXES, ImageLimits, read_image
from faces.pipeline import principal_face
from faces.quality import assess
from faces.space import ModelCard, Recipe, digest
from index.errors import NothingToEnrol, PhotoUnreadable, SubjectInvalid
from index.gallery import Enrolment, LocalGallery, Template, require_subject_id
from index.guard import Evidence, are_several, judge, look_around

_FPIR: Final = 0.01  # of the threshold from which a photo may be somebody else's, where the gallery was calibrated
_BATCH: Final = 32  # photos a commit: an interruption loses the work of a second or two
_LAYOUT: Final = "A folder of people holds one folder a person, named with the subject id, with photos in it."


class CardEmbedder(Embedder, Protocol):
    """An Embedder that says how its Crops are made."""

    @property
    def card(self) -> ModelCard: ...


@dataclass(frozen=True, slots=True)
class Photo:
    subject_id: str
    path: Path


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that was not enrolled. `reason` is a stable code, `detail` a sentence."""

    path: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Flagged:
    """A photo that was enrolled though something speaks against it; reasons of `faces.quality` and `index.guard`."""

    path: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class People:
    """What a folder of people holds."""

    subjects: tuple[str, ...]
    photos: tuple[Photo, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class BuildReport:
    """`photos` = `enrolled` + `already` + those of `skipped` that are photos."""

    photos: int
    enrolled: int
    already: int
    """Enrolled for the same Subject before, or a copy of a photo that was."""
    subjects: int
    """With at least one photo of this folder in the gallery."""
    subjects_without_photo: tuple[str, ...]
    """Folders that no photo could be enrolled from."""
    skipped: tuple[Skipped, ...]
    flagged: tuple[Flagged, ...]
    seconds: float


def find_people(folder: Path) -> People:
    """The photos in FOLDER/PERSON/, in order of their names. Hidden files and folders are passed over in silence.

    Photos are told by their suffix. Files beside the folders of people, folders inside them and other suffixes are
    skipped with a reason.
    Raises PhotoUnreadable for the folder itself, NothingToEnrol when there is no photo at all.
    """
    subjects, photos, skipped = [], [], []
    for person in _visible(folder):
        if not person.is_dir():
            skipped.append(Skipped(_shown(person), "not_in_a_persons_folder", _LAYOUT))
            continue
        try:
            require_subject_id(person.name)
            found, others = _photos_of(person)
        except (SubjectInvalid, PhotoUnreadable) as error:
            skipped.append(Skipped(_shown(person), error.code, str(error)))
            continue
        subjects.append(person.name)
        photos += found
        skipped += others
    if not photos:
        raise NothingToEnrol("no photos in folder", str(folder), _LAYOUT)
    return People(tuple(subjects), tuple(photos), tuple(skipped))


def _photos_of(person: Path) -> tuple[list[Photo], list[Skipped]]:
    photos, skipped = [], []
    for file in _visible(person):
        if file.is_dir():
            skipped.append(Skipped(_shown(file), "nested_too_deep", _LAYOUT))
        elif file.suffix.lower() not in IMAGE_SUFFIXES:
            skipped.append(Skipped(_shown(file), "not_a_photo", f"Not one of {', '.join(sorted(IMAGE_SUFFIXES))}."))
        else:
            photos.append(Photo(person.name, file))
    return photos, skipped


def photo_bytes(path: Path, limits: ImageLimits) -> bytes:
    """The file, or one byte more than `read_image` accepts of a longer one. Raises PhotoUnreadable."""
    try:
        with path.open("rb") as file:
            return file.read(limits.bytes + 1)
    except OSError as error:
        raise PhotoUnreadable(_reason(error), _shown(path), "Check the file and its permissions.") from None


def build_gallery(
    people: People,
    gallery: LocalGallery,
    detector: Detects,
    embedder: CardEmbedder,
    *,
    limits: ImageLimits | None = None,
    strict: bool = False,
    report_progress: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> BuildReport:
    """Enrol the principal face of every photo, durably, 32 photos a commit.

    Photos whose bytes are enrolled for the same Subject are left out before they are decoded: a build that was
    interrupted goes on when it is run again. The bytes of another Subject's photo are skipped: of one photo only one
    face is meant. What else speaks against a photo (see `index.guard`) flags it, and it is enrolled: for its Subject it
    may be the only one.
    strict: what would be flagged is skipped. report_progress: called with the number of photos dealt with.
    Raises SpaceMismatch before anything is read, and the errors of `LocalGallery.enrol`.
    """
    gallery.require_space(embedder.space)
    started = clock()
    build = _Build(gallery, detector, embedder, limits or ImageLimits(), strict)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # two on two cores: 1.2 to 1.5 times one
        for start in range(0, len(people.photos), _BATCH):
            batch = people.photos[start : start + _BATCH]
            build.enrol(batch, list(pool.map(build.look, batch)))
            report_progress(len(batch))
    return BuildReport(
        photos=len(people.photos),
        enrolled=build.enrolled,
        already=build.already,
        subjects=len(build.present),
        subjects_without_photo=tuple(subject for subject in people.subjects if subject not in build.present),
        skipped=(*people.skipped, *build.skipped),
        flagged=tuple(build.flagged),
        seconds=clock() - started,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Usable:
    """A photo with a face: SHA-256 of its bytes, the Crop (height, width, 3), reasons of `faces.quality`."""

    source: str
    crop: Crops
    reasons: tuple[str, ...]
    several: bool


@dataclass(frozen=True, slots=True)
class _Already:
    """A photo that is enrolled for this Subject."""


class _Build:
    """One run: what the gallery holds, and what has become of the photos so far."""

    def __init__(
        self, gallery: LocalGallery, detector: Detects, embedder: CardEmbedder, limits: ImageLimits, strict: bool
    ) -> None:
        self._gallery, self._detector, self._embedder, self._limits = gallery, detector, embedder, limits
        self._strict = strict
        self._owners = gallery.sources()
        known = gallery.thresholds(embedder.model_id)
        self._threshold = next((threshold.value for threshold in known if threshold.fpir == _FPIR), None)
        self.enrolled = self.already = 0
        self.present: set[str] = set()
        self.skipped: list[Skipped] = []
        self.flagged: list[Flagged] = []

    def look(self, photo: Photo) -> _Usable | _Already | Skipped:
        """Read one photo and find its face; changes nothing, so several threads may look at once."""
        try:
            data = photo_bytes(photo.path, self._limits)
            source = digest(data)
            if known := self._known(photo, source):
                return known
            image = read_image(data, self._limits)
        except (ImageRefused, PhotoUnreadable) as error:
            return Skipped(_shown(photo.path), error.code, str(error))
        (faces,) = self._detector.detect([image])
        if not faces:
            return Skipped(_shown(photo.path), "no_face", "No face was found.")
        face = faces[principal_face(faces, image)]
        height, width = image.shape[:2]
        crop = align(image, face.landmarks, self._recipe)
        return _Usable(source, crop, assess(image, face).reasons, are_several(faces, width, height))

    def enrol(self, photos: Sequence[Photo], looks: Sequence[_Usable | _Already | Skipped]) -> None:
        """Write what was seen, in one commit."""
        chosen = []
        for photo, look in zip(photos, looks, strict=True):
            # A copy of a photo of this same batch was not known when it was looked at.
            found = (self._known(photo, look.source) if isinstance(look, _Usable) else None) or look
            match found:
                case Skipped():
                    self.skipped.append(found)
                case _Already():
                    self.already += 1
                    self.present.add(photo.subject_id)
                case _Usable():
                    self._owners.setdefault(found.source, set()).add(photo.subject_id)
                    chosen.append((photo, found))
        if chosen:
            self._write(chosen)

    def _write(self, chosen: Sequence[tuple[Photo, _Usable]]) -> None:
        rows = self._embedder.embed(np.stack([usable.crop for _, usable in chosen]))
        people: dict[str, list[Template]] = {}
        for (photo, usable), row, reasons in zip(chosen, rows, self._doubts(chosen, rows), strict=True):
            if reasons and self._strict:
                self.skipped.append(Skipped(_shown(photo.path), reasons[0], f"Left out for {', '.join(reasons)}."))
                continue
            template = Template(row, self._embedder.model_id, usable.source, reasons)
            people.setdefault(photo.subject_id, []).append(template)
            self.enrolled += 1
            self.flagged += [Flagged(_shown(photo.path), reasons)] if reasons else []
        if people:
            self._gallery.enrol_all([Enrolment(*person) for person in people.items()], space=self._embedder.space)
            self.present |= people.keys()

    def _doubts(self, chosen: Sequence[tuple[Photo, _Usable]], rows: Vectors) -> list[tuple[str, ...]]:
        """Of each photo, with its embedding (dim,): all that speaks against enrolling it."""
        doubts: list[tuple[str, ...]] = [()] * len(chosen)
        for person in {photo.subject_id for photo, _ in chosen}:
            places = [place for place, (photo, _) in enumerate(chosen) if photo.subject_id == person]
            around = look_around(self._gallery, person, rows[places], space=self._embedder.space)
            for place, near in zip(places, around, strict=True):
                usable = chosen[place][1]
                evidence = Evidence(usable.reasons, usable.several, own=near.own, other=near.other)
                against = judge(evidence, "strict", self._threshold).refused
                doubts[place] = tuple(dict.fromkeys((*usable.reasons, *against)))
        return doubts

    def _known(self, photo: Photo, source: str) -> _Already | Skipped | None:
        owners = self._owners.get(source, set())
        if photo.subject_id in owners:
            return _Already()
        if owners:
            return Skipped(
                _shown(photo.path), "photo_of_another_subject", f"The same photo is enrolled for {min(owners)!r}."
            )
        return None

    @property
    def _recipe(self) -> Recipe:
        return self._embedder.card.crop


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise PhotoUnreadable(_reason(error), _shown(folder), _LAYOUT) from None


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _shown(path: Path) -> str:
    """The path as text that can be printed and written as JSON, whatever bytes its name has."""
    return os.fsencode(path).decode(errors="backslashreplace")
