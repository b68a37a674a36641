"""A protocol file and its photos: CSV lines `photo,subject,role`; roles are gallery, distractor, probe, nonmated."""

import csv
from collections.abc import Sequence
from pathlib import Path

from faces.detect import open_detector
from faces.models import find_model, open_embedder
from index.build import BuildReport, People, Photo, build_gallery
from index.gallery import create_gallery

Named = Sequence[tuple[str, Path]]
"""Subject ids and photos."""


def read_protocol(people: Path, protocol: Path) -> dict[str, Named]:
    """By role; people: the folder that photos are named in."""
    roles: dict[str, list[tuple[str, Path]]] = {}
    with protocol.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            roles.setdefault(row["role"], []).append((row["subject"], people / row["photo"]))
    return dict(roles)


def as_people(photos: Named) -> People:
    return People(tuple(dict(photos)), tuple(Photo(person, photo) for person, photo in photos), ())


def enrol(photos: Named, path: Path, teacher: str) -> BuildReport:
    """A new gallery of them at `path`."""
    embedder = open_embedder(find_model(teacher))
    with create_gallery(path, embedder.space) as gallery:
        return build_gallery(as_people(photos), gallery, open_detector(), embedder)
