"""What speaks against enrolling a photo: that it is a poor one, one that is there already, or somebody else's.

A gallery answers with its worst Templates as readily as with its best: one photo under a wrong name answers for two
people. `judge` is pure; `look_around` asks a gallery what it wants to know.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from faces.detect import Face
from faces.embed import Vectors
from faces.pipeline import prominence
from faces.space import Space
from index.contract import Candidate
from index.errors import SubjectUnknown
from index.local import LocalGallery

Mode = Literal["off", "flag", "strict"]
"""off: whatever has a face is enrolled. flag: what is no photo of a face is refused, the rest is told. strict: what
would be told is refused."""

TWIN: Final = 0.995
"""Cosine from which two photos are one: copies in another size or compression. Two photos of a person stay below."""

HOPELESS: Final = 3
"""Reasons against the picture of a face that together are too many."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a photo that is to be enrolled for a Subject."""

    quality: tuple[str, ...]
    """Reasons of `faces.quality`."""
    several: bool = False
    """Nothing tells which of its faces is meant."""
    known: bool = False
    """Its very bytes are enrolled for this Subject."""
    own: float | None = None
    """Its highest cosine with a Template of this Subject; None: the Subject has none."""
    other: float | None = None
    """Its highest cosine with a Template of another one; None: nobody else is in the gallery."""


@dataclass(frozen=True, slots=True)
class Judgement:
    refused: tuple[str, ...]
    """Why it is not enrolled; empty: it is."""
    flagged: tuple[str, ...]
    """Why one might look at it again."""


def judge(evidence: Evidence, mode: Mode, threshold: float | None) -> Judgement:
    """Whether to enrol. threshold: the cosine that is a match; None: not known, and nobody is taken for another.

    A photo with several faces of equal standing has no face that is meant, and one that is hardly a face (an uncertain
    detection with another reason, or three reasons) spoils what it is added to: refused in every mode but off.
    """
    if mode == "off":
        return Judgement((), evidence.quality)
    if evidence.several:
        return Judgement(("several_faces",), ())  # of whichever face the rest is known, it may be the other's
    doubts = tuple(_doubts(evidence, threshold))
    if _is_hopeless(evidence.quality):
        return Judgement(("too_poor", *doubts), ())
    return Judgement(doubts, ()) if mode == "strict" else Judgement((), doubts)


def _is_hopeless(quality: Sequence[str]) -> bool:
    return len(quality) >= (HOPELESS - 1 if "uncertain_detection" in quality else HOPELESS)


def _doubts(evidence: Evidence, threshold: float | None) -> list[str]:
    doubts = list(evidence.quality)
    if evidence.known:
        doubts.append("duplicate")
    elif evidence.own is not None and evidence.own >= TWIN:
        doubts.append("near_duplicate")
    if (
        threshold is not None
        and evidence.other is not None
        and evidence.other >= threshold
        and (evidence.own is None or evidence.other > evidence.own)
    ):
        doubts.append("closer_to_another_subject")
    return doubts


def are_several(faces: Sequence[Face], width: int, height: int) -> bool:
    """Whether a second face of a photo of this size stands out half as much as the first: see `principal_face`."""
    *_, second, first = (0.0, 0.0, *sorted(prominence(faces, width, height).tolist()))
    return second > 0 and second > first / 2


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How near a photo is to its own Subject and to the nearest other one: cosines; None: there is no Template."""

    own: float | None
    other: float | None


def look_around(gallery: LocalGallery, subject_id: str, probes: Vectors, *, space: Space) -> list[Surroundings]:
    """For each of the probes (n, dim), photos of one Subject; those that come before it count as its Templates.

    Raises SpaceMismatch, ProbesInvalid.
    """
    among = gallery.search(probes, 2, space=space) if len(probes) else []
    stored = _own(gallery, subject_id, probes, space)
    found = []
    for row, candidates in enumerate(among):
        earlier = [float(cosine) for cosine in probes[:row] @ probes[row]]
        own = max([*earlier, *([] if (best := stored[row]) is None else [best.score])], default=None)
        other = max((one.score for one in candidates if one.subject_id != subject_id), default=None)
        found.append(Surroundings(own, other))
    return found


def _own(gallery: LocalGallery, subject_id: str, probes: Vectors, space: Space) -> Sequence[Candidate | None]:
    try:
        return gallery.best(np.ascontiguousarray(probes), subject_id, space=space)
    except SubjectUnknown:
        return [None] * len(probes)
