"""A folder of people as a protocol: ROOT/PERSON/*.jpg, and one rule that says who is enrolled."""

from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np

from faces.image import IMAGE_SUFFIXES
from kd.errors import ProtocolInvalid
from kd.evaluate.protocol import Protocol, Search, photo_templates
from kd.evaluate.readers.names import folder_name

_STRANGER_EVERY: Final = 4


def read_people_folder(root: Path, photos: Path | None) -> Protocol:  # noqa: ARG001 - every reader is called alike
    """1:N over a folder of people, the same for the same names, whatever order they are read in.

    People and their photos are taken in order of name. Every fourth person is a stranger: never enrolled, all photos
    non-mated probes. Of the others the first photo is enrolled and the rest are mated probes; people with one photo
    are distractors. N is reported without the distractors and with them.
    Raises ProtocolInvalid when no person is left with two photos.
    """
    people = people_photos(root)
    strangers = people[_STRANGER_EVERY - 1 :: _STRANGER_EVERY]
    enrolled = [person for place, person in enumerate(people, start=1) if place % _STRANGER_EVERY]
    mated = [person for person in enrolled if len(person) > 1]
    distractors = [person for person in enrolled if len(person) == 1]
    if not mated:
        raise ProtocolInvalid("nobody has two photos", str(root), "Give a folder of people: ROOT/PERSON/*.jpg.")
    templates, number = photo_templates({photo: str(Path(photo).parent) for photo in chain(*people)}, root)

    def numbers(chosen: list[str]) -> list[int]:
        return [number[photo] for photo in chosen]

    probes = np.array(numbers([photo for person in mated for photo in person[1:]]) + numbers(list(chain(*strangers))))
    gallery, more = numbers([person[0] for person in mated]), numbers([person[0] for person in distractors])
    searches = [Search("", np.array(gallery), probes)]
    if more:
        searches.append(Search("", np.array(gallery + more), probes))
    return Protocol(folder_name(root), templates, (), tuple(searches))


def people_photos(root: Path, inside: str = "") -> list[list[str]]:
    """The photos of each person that has any, as paths relative to root: PERSON/*, or PERSON/inside/*; by name.

    Raises ProtocolInvalid when root is no folder.
    """
    if not root.is_dir():
        raise ProtocolInvalid("not a folder", str(root), "Give a folder of people: ROOT/PERSON/*.jpg.")
    people = sorted(person for person in root.iterdir() if person.is_dir() and not person.name.startswith("."))
    found = [
        [
            str(path.relative_to(root))
            for path in sorted((person / inside).glob("*"))
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        ]
        for person in people
    ]
    return [photos for photos in found if photos]
