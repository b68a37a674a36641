"""Photos of a Subject become its Templates: each is looked at, judged, and enrolled or sent back with the reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from app.errors import EnrolmentRefused
from app.view import Read, View, principal
from faces.embed import Crops, Vectors
from faces.errors import ImageRefused
from faces.quality import Quality
from faces.space import digest
from index.errors import NotCalibrated, SubjectUnknown
from index.gallery import By, Template
from index.guard import Evidence, Judgement, Mode, Surroundings, are_several, judge, look_around


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """A photo as it came."""

    filename: str
    read: Read


@dataclass(frozen=True, slots=True)
class Enrolled:
    index: int
    """Which of the photos, from 0."""
    filename: str
    template_id: int
    quality: Quality
    flagged: tuple[str, ...]
    """Reasons to look at it again, of `index.guard`."""


@dataclass(frozen=True, slots=True)
class Rejected:
    index: int
    filename: str
    reasons: tuple[str, ...]
    """Codes of `faces.errors`, `no_face`, or those of `index.guard`."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A photo with a face."""

    index: int
    filename: str
    source: str
    quality: Quality
    several: bool
    crop: Crops


@dataclass(slots=True)
class _Sorted:
    seen: list[_Seen] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def enrol_photos(
    view: View, subject_id: str, photos: Sequence[Sent], mode: Mode, by: By, *, create: bool = False
) -> tuple[list[Enrolled], list[Rejected]]:
    """Enrol the face that each photo is of, in one commit; durable on return.

    create: make the Subject when there is none of this id.
    Raises SubjectUnknown; EnrolmentRefused when no photo could be enrolled; SpaceMismatch; what the stages raise.
    """
    known = _sources(view, subject_id, create)
    view.gallery.require_space(view.active.card.space)
    found = _Sorted()
    for index, photo in enumerate(photos):
        _look(view, index, photo, found)
    vectors = view.stages.embed(_stacked(view, found.seen))
    around = _around(view, subject_id, vectors, mode)
    threshold, accepted = _threshold(view), []
    for row, (seen, place) in enumerate(zip(found.seen, around, strict=True)):
        judgement = judge(_evidence(seen, place, known), mode, threshold)
        known.add(seen.source)
        if judgement.refused:
            found.rejected.append(Rejected(seen.index, seen.filename, judgement.refused))
        else:
            accepted.append((row, seen, judgement))
    found.rejected.sort(key=lambda photo: photo.index)
    if not accepted:
        raise _refused(found.rejected)
    templates = [
        Template(vectors[row], view.active.card.model_id, seen.source, _doubts(seen, judgement))
        for row, seen, judgement in accepted
    ]
    ids = view.gallery.enrol(subject_id, templates, space=view.active.card.space, known_only=not create, actor=by)
    return [
        Enrolled(seen.index, seen.filename, template_id, seen.quality, judgement.flagged)
        for template_id, (_, seen, judgement) in zip(ids, accepted, strict=True)
    ], found.rejected


def _sources(view: View, subject_id: str, create: bool) -> set[str]:
    """Digests of the photos that the Subject has. Raises SubjectUnknown."""
    try:
        return {template.source for template in view.gallery.templates(subject_id)}
    except SubjectUnknown:
        if not create:
            raise
        return set()


def _look(view: View, index: int, photo: Sent, found: _Sorted) -> None:
    data = photo.read()
    try:
        looked = view.look(lambda: data)
    except ImageRefused as error:
        found.rejected.append(Rejected(index, photo.filename, (error.code,)))
        return
    if not looked.faces:
        found.rejected.append(Rejected(index, photo.filename, ("no_face",)))
        return
    number = principal(looked)
    several = are_several(looked.faces, looked.width, looked.height)
    seen = _Seen(index, photo.filename, digest(data), looked.qualities[number], several, looked.crops[number])
    found.seen.append(seen)


def _stacked(view: View, seen: Sequence[_Seen]) -> Crops:
    recipe = view.active.card.crop
    return np.stack([each.crop for each in seen]) if seen else np.empty((0, recipe.height, recipe.width, 3), np.uint8)


def _around(view: View, subject_id: str, vectors: Vectors, mode: Mode) -> list[Surroundings]:
    if mode == "off":
        return [Surroundings(None, None)] * len(vectors)
    return look_around(view.gallery, subject_id, vectors, space=view.active.card.space)


def _threshold(view: View) -> float | None:
    """The service's own; None where none is known."""
    try:
        return view.thresholds.deciding(view.gallery, view.active.card).value
    except NotCalibrated:
        return None


def _evidence(seen: _Seen, place: Surroundings, known: set[str]) -> Evidence:
    return Evidence(seen.quality.reasons, seen.several, seen.source in known, place.own, place.other)


def _doubts(seen: _Seen, judgement: Judgement) -> tuple[str, ...]:
    """What is stored beside the Template."""
    return tuple(dict.fromkeys((*seen.quality.reasons, *judgement.flagged)))


def _refused(rejected: Sequence[Rejected]) -> EnrolmentRefused:
    photos = [{"index": photo.index, "filename": photo.filename, "reasons": list(photo.reasons)} for photo in rejected]
    return EnrolmentRefused(
        "not one of the photos could be enrolled", photos, "See details.rejected; send better ones."
    )
