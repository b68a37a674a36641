"""A gallery file that is not one, or was damaged: an error that names it, and not a byte of it changed."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from faces.errors import FacesError
from index.errors import GalleryCorrupt, GalleryExists, GalleryForeign, GalleryMissing, GalleryUnavailable
from index.gallery import Candidate, create_gallery, open_gallery
from tests.index.fakes import EAST, SPACE, random_rows, templates

PEOPLE = {f"person-{n}": random_rows(3, seed=n) for n in range(40)}
PROBES = random_rows(20, seed=99)


def fill(path: Path) -> bytes:
    """A gallery of PEOPLE at `path`; the bytes of its file."""
    with create_gallery(path, SPACE) as gallery:
        for subject, rows in PEOPLE.items():
            gallery.enrol(subject, templates(*rows, source="aa" * 32), space=SPACE, name=subject.title())
        gallery.set_active_model("dlib")
    return path.read_bytes()


def answers(path: Path) -> list[list[Candidate]]:
    with open_gallery(path) as gallery:
        return gallery.search(PROBES, 5, space=SPACE)


def empty_sqlite(path: Path, statement: str = "CREATE TABLE notes (text)") -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(statement)


def test_a_gallery_reopens_as_it_was_left(path):
    with create_gallery(path, SPACE) as gallery:
        gallery.enrol("ada", templates(EAST, source="aa" * 32), space=SPACE, name="Ada")
        gallery.set_active_model("small-dlib")
        before = (gallery.stats(), gallery.search(EAST[None], 1, space=SPACE))
    with open_gallery(path) as gallery:
        assert (gallery.stats(), gallery.search(EAST[None], 1, space=SPACE)) == before
        assert gallery.active_model() == "small-dlib"
        assert gallery.sources() == {"aa" * 32: {"ada"}}
        assert gallery.check() == []


def test_a_closed_gallery_is_one_file(path):
    fill(path)
    answers(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_new_gallery_never_replaces_a_file(path):
    path.write_text("mine")
    with pytest.raises(GalleryExists, match=path.name):
        create_gallery(path, SPACE)
    assert path.read_text() == "mine"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_gallery_in_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(GalleryUnavailable, match="No such file or directory"):
        create_gallery(tmp_path / "absent" / "people.heirloom", SPACE)


@pytest.mark.parametrize("make", [Path.exists, Path.mkdir], ids=["nothing there", "a folder"])
def test_no_file_at_the_path_is_an_error_that_names_it(path, make):
    make(path)
    with pytest.raises(GalleryMissing, match=path.name):
        open_gallery(path)


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (lambda path: path.write_bytes(b""), GalleryCorrupt),
        (lambda path: path.write_bytes(b"\xff\xd8\xff" + bytes(5000)), GalleryCorrupt),
        (lambda path: path.write_bytes(b"SQLite format 3\x00"), GalleryCorrupt),
        (empty_sqlite, GalleryForeign),
        (lambda path: empty_sqlite(path, "PRAGMA application_id=1212500306; PRAGMA user_version=3"), GalleryForeign),
        (lambda path: empty_sqlite(path, "PRAGMA application_id=1212500306; PRAGMA user_version=1"), GalleryCorrupt),
        (lambda path: empty_sqlite(path, "PRAGMA application_id=1212500306; PRAGMA user_version=2"), GalleryCorrupt),
    ],
    ids=[
        "empty",
        "a photo",
        "a header's start",
        "another program's",
        "a later format's",
        "an older one without tables",
        "without tables",
    ],
)
def test_a_file_that_is_no_gallery_is_refused_and_left_alone(path, write: Callable[[Path], None], error):
    write(path)
    before = path.read_bytes()
    with pytest.raises(error, match=path.name):
        open_gallery(path)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == {path.name: before}


@pytest.mark.parametrize("share", [0.999, 0.75, 0.5, 0.1])
def test_a_truncated_file_is_refused_and_left_alone(path, share):
    whole = fill(path)
    cut = whole[: int(len(whole) * share)]
    path.write_bytes(cut)
    with pytest.raises(GalleryCorrupt, match="left as it is"):
        open_gallery(path)
    assert path.read_bytes() == cut


def test_a_flipped_bit_is_refused_or_changes_no_answer(path):
    whole = fill(path)
    expected = answers(path)
    rng = np.random.default_rng(5)
    refused = 0
    for offset in [*range(0, 100, 3), *rng.integers(0, len(whole), 300).tolist()]:
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = answers(path)
        except FacesError as error:
            refused += 1
            found = expected if path.name in str(error) and path.read_bytes() == damaged else []
        assert found == expected
    assert refused > 30


def test_a_damaged_template_is_named_by_check_and_by_opening(path):
    whole = fill(path)
    data = PEOPLE["person-7"][1].astype("<f2").tobytes()
    assert whole.count(data) == 1
    with open_gallery(path) as gallery:
        at = path.read_bytes().index(data)
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes([data[0] ^ 1]))
        assert gallery.check() == ["Template 23 fails its checksum"]
    with pytest.raises(GalleryCorrupt, match="Template 23 fails its checksum"):
        open_gallery(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_an_error_that_says_so(path):
    fill(path)
    path.chmod(0)
    with pytest.raises(GalleryUnavailable, match="Permission denied"):
        open_gallery(path)


def test_every_connection_has_the_settings_that_durability_and_erasure_rest_on(gallery):
    wanted = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1, "page_size": 8192}

    def found(connection):
        return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted}

    assert gallery.store.read(found) == gallery.store.write(found) == wanted
