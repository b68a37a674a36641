"""Forgetting is for good: first the bytes are found in the files, then they are not."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from index import scrub
from index.errors import SubjectInvalid
from index.gallery import Enrolment, LocalGallery, create_gallery, open_gallery
from tests.index.fakes import EAST, NORTH, SPACE, random_rows, templates

ADA = random_rows(5, seed=1)


def traces(path: Path, *needles: bytes) -> int:
    """How many of the needles are in any file of the gallery: the database, its log and its index, cache, backups."""
    files = [file for beside in path.parent.glob(path.name + "*") for file in [beside, *beside.rglob("*")]]
    files = [file for file in files if file.is_file()]
    assert files
    everything = b"".join(file.read_bytes() for file in files)
    return sum(needle in everything for needle in needles)


def stored_bytes(rows: np.ndarray) -> list[bytes]:
    return [row.astype("<f2").tobytes() for row in rows]


def enrol_ada(gallery: LocalGallery) -> None:
    gallery.enrol("bob", templates(EAST), space=SPACE)
    gallery.enrol("ada-lovelace", templates(*ADA, source="ad" * 32), space=SPACE, name="Augusta Ada King")
    gallery.enrol("cy", templates(NORTH), space=SPACE)


PERSONAL = [*stored_bytes(ADA), b"ada-lovelace", b"Augusta Ada King", b"ad" * 32]


def test_no_byte_of_a_forgotten_subject_is_left_in_any_file(gallery, path):
    enrol_ada(gallery)
    assert traces(path, *PERSONAL) == len(PERSONAL)
    receipt = gallery.forget("ada-lovelace")
    assert traces(path, *PERSONAL) == 0
    assert (receipt.templates, receipt.erased_at >= receipt.hidden_at) == (5, True)
    assert gallery.sources() == {}


def test_rows_that_moved_between_pages_leave_no_copies_behind(path):
    shuffled = np.random.default_rng(0)
    people = {f"person-{shuffled.random():.9f}": random_rows(2, seed=n) for n in range(700)}
    with create_gallery(path, SPACE) as gallery:
        gallery.enrol_all([Enrolment(name, templates(*rows)) for name, rows in people.items()], space=SPACE)
        for name, rows in list(people.items())[::3]:
            gallery.enrol(name, templates(rows[0]), space=SPACE, name=name + " of a longer name")
        gone = shuffled.permutation(sorted(people))[:60].tolist()
        for name in gone:
            gallery.forget(name)
    bytes_of_gone = [needle for name in gone for needle in [name.encode(), *stored_bytes(people[name])]]
    assert traces(path, *bytes_of_gone) == 0


def test_an_open_reader_of_another_connection_delays_the_erasure_and_everybody_says_so(gallery, path, monkeypatch):
    monkeypatch.setattr(scrub, "WAIT", 0.0)
    gallery.store.write(lambda connection: connection.execute("PRAGMA busy_timeout = 50").close())
    enrol_ada(gallery)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM templates").fetchone()
        assert gallery.forget("ada-lovelace").erased_at is None
        assert traces(path, *PERSONAL) > 0
        assert [found.subject_id for found in gallery.search(ADA[:1], 5, space=SPACE)[0]] == ["cy", "bob"]
        assert gallery.check() == [
            "Forgotten Templates are not overwritten yet: another process keeps a read open, or the disk is full."
        ]
    gallery.forget("bob")
    assert traces(path, *PERSONAL) == 0
    assert gallery.check() == []


def test_an_erasure_cut_short_is_finished_when_the_gallery_is_opened(gallery, path, monkeypatch):
    enrol_ada(gallery)
    monkeypatch.setattr(gallery.store, "scrub", lambda _: (False, ()))  # all that forget does before a crash
    gallery.forget("ada-lovelace")
    gallery.close()
    with open_gallery(path) as reopened:
        assert traces(path, *PERSONAL) == 0
        assert reopened.check() == []


def test_the_cache_of_another_open_gallery_forgets_too(gallery, path):
    enrol_ada(gallery)
    with open_gallery(path) as other:
        other.forget("ada-lovelace")
    assert "ada-lovelace" not in [found.subject_id for found in gallery.search(ADA[:1], 5, space=SPACE)[0]]


@pytest.mark.parametrize("subject", ["", " ada", "a\nb", "a\0b", "\ud800", "x" * 501])
def test_a_subject_id_that_cannot_be_shown_on_a_line_is_refused(gallery, subject):
    with pytest.raises(SubjectInvalid):
        gallery.enrol(subject, templates(EAST), space=SPACE)
    assert gallery.stats().subjects == 0
