"""What tests of the cache share: Subjects of three random Templates each, and what is answered of them."""

import sqlite3
from pathlib import Path

import pytest

from index import cache
from index.gallery import Enrolment
from index.snapshots import folder_of
from tests.index.fakes import SPACE, ListGallery, random_rows, templates

PROBES = random_rows(9, seed=99)


def enrol(gallery, *numbers: int) -> None:
    gallery.enrol_all([Enrolment(f"s{n}", templates(*random_rows(3, seed=n))) for n in numbers], space=SPACE)


def model_of(*numbers: int) -> ListGallery:
    made = ListGallery(SPACE)
    for n in numbers:
        made.enrol(f"s{n}", templates(*random_rows(3, seed=n)), space=SPACE)
    return made


def answers(gallery) -> list[list[tuple[str, float]]]:
    return [[(hit.subject_id, hit.score) for hit in hits] for hits in gallery.search(PROBES, 7, space=SPACE)]


def folder(path: Path) -> list[str]:
    return sorted(file.suffix or file.name for file in folder_of(path).iterdir())


def rebuilds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that a cache is made from all rows of the store."""
    made: list[int] = []
    anew = cache.Cache._anew

    def counted(self: cache.Cache, connection: sqlite3.Connection):
        made.append(self._collection)
        return anew(self, connection)

    monkeypatch.setattr(cache.Cache, "_anew", counted)
    return made
