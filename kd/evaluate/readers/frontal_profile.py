"""Frontal and profile photos apart, as in CFP: ROOT/PERSON/frontal/*.jpg and ROOT/PERSON/profile/*.jpg."""

from pathlib import Path
from typing import Final

import numpy as np

from kd.errors import ProtocolInvalid
from kd.evaluate.protocol import Ints, Pairs, Protocol, Search, photo_templates
from kd.evaluate.readers.names import folder_name
from kd.evaluate.readers.people import people_photos

_VIEWS: Final = ("frontal", "profile")


def read_frontal_profile(root: Path, photos: Path | None) -> Protocol:  # noqa: ARG001 - every reader is called alike
    """Each person's first frontal photo is enrolled; the other frontal ones and the profile ones are searched apart.

    Closed set: everybody is enrolled, so there is no FPIR. 1:1 compares every probe with every enrolled photo; it has
    no folds, so no accuracy. Not the pairs of CFP's own protocol (Sengupta et al., 2016), which are balanced.
    Raises ProtocolInvalid when there is no profile photo of anybody who is enrolled.
    """
    enrolled = {Path(person[0]).parts[0]: person for person in people_photos(root, "frontal")}
    shown = {
        "frontal": [photo for person in enrolled.values() for photo in person[1:]],
        "profile": [
            p for person in people_photos(root, "profile") if Path(person[0]).parts[0] in enrolled for p in person
        ],
    }
    for view in _VIEWS:
        if not shown[view]:
            raise ProtocolInvalid(
                f"no {view} photo to search with", str(root), "Give PERSON/frontal/*.jpg and PERSON/profile/*.jpg."
            )
    gallery = [person[0] for person in enrolled.values()]
    everything = [*gallery, *shown["frontal"], *shown["profile"]]
    templates, number = photo_templates({photo: Path(photo).parts[0] for photo in everything}, root)
    rows = np.array([number[photo] for photo in gallery])
    probes = {view: np.array([number[photo] for photo in shown[view]]) for view in _VIEWS}
    subjects = np.array([template.subject for template in templates])
    return Protocol(
        folder_name(root),
        templates,
        tuple(_every_pair(view, probes[view], rows, subjects) for view in _VIEWS),
        tuple(Search(view, rows, probes[view]) for view in _VIEWS),
    )


def _every_pair(name: str, probes: Ints, gallery: Ints, subjects: "np.ndarray[tuple[int], np.dtype[np.str_]]") -> Pairs:
    left, right = np.repeat(probes, len(gallery)), np.tile(gallery, len(probes))
    return Pairs(name, left, right, subjects[left] == subjects[right], None)
