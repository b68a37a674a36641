"""Several processes at one gallery, and processes that are killed."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from index.connection import connect, inspect
from index.errors import GalleryBusy, GalleryUnavailable
from index.gallery import create_gallery, open_gallery
from tests.index.fakes import EAST, NORTH, SPACE, random_rows, templates

ROUNDS = 4
ENROL_FOR_EVER = """
import itertools, sys
from pathlib import Path
from index.gallery import open_gallery
from tests.index.fakes import SPACE, random_rows, templates

with open_gallery(Path(sys.argv[1])) as gallery:
    for n in itertools.count(int(sys.argv[2])):
        gallery.enrol(f"s{n}", templates(*random_rows(2, seed=n)), space=SPACE)
        if n % 2:
            gallery.forget(f"s{n - 1}")
        print(n, flush=True)
"""


def killed_after(lines: int, path: Path, first: int) -> list[int]:
    """Enrol `first` and so on, forget every other one, and die (SIGKILL) at some moment after so many were answered.

    The numbers that were answered.
    """
    command = [sys.executable, "-c", ENROL_FOR_EVER, str(path), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as child:
        assert child.stdout is not None
        answered = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        return [int(line) for line in answered + child.stdout.readlines() if line.endswith("\n")]


def test_what_was_answered_survives_a_kill(path):
    create_gallery(path, SPACE).close()
    enrolled, forgotten = set[str](), set[str]()
    for turn in range(ROUNDS):
        answered = killed_after(6 + 3 * turn, path, first=1000 * turn)
        enrolled |= {f"s{n}" for n in answered if n % 2}
        forgotten |= {f"s{n - 1}" for n in answered if n % 2}
        with open_gallery(path) as gallery:
            assert gallery.check() == []
            everybody = {found.subject_id for found in gallery.search(EAST[None], 10_000, space=SPACE)[0]}
        assert enrolled <= everybody
        assert not forgotten & everybody


def test_a_search_finds_what_another_process_has_just_written(gallery, path):
    gallery.enrol("ada", templates(EAST), space=SPACE)
    with open_gallery(path) as other:
        other.enrol("bob", templates(NORTH), space=SPACE, name="Bob")
        other.enrol("ada", templates(EAST), space=SPACE, name="Ada")
    names = [found.name for found in gallery.search(EAST[None], 5, space=SPACE)[0]]
    assert names == ["Ada", "Bob"]
    assert gallery.check() == []


def test_a_writer_that_never_ends_is_an_error_and_leaves_searches_alone(gallery, path):
    gallery.enrol("ada", templates(EAST), space=SPACE)
    gallery.store.write(lambda connection: connection.execute("PRAGMA busy_timeout = 50").close())
    other = connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(GalleryBusy, match=path.name):
        gallery.enrol("bob", templates(NORTH), space=SPACE)
    assert [found.subject_id for found in gallery.search(EAST[None], 5, space=SPACE)[0]] == ["ada"]
    other.execute("ROLLBACK")
    other.close()
    gallery.enrol("bob", templates(NORTH), space=SPACE)
    assert gallery.stats().subjects == 2


def limit_to_its_size(connection: sqlite3.Connection) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}").close()


def test_a_full_disk_is_an_error_and_loses_nothing(gallery):
    gallery.enrol("ada", templates(EAST), space=SPACE)
    gallery.store.write(limit_to_its_size)
    with pytest.raises(GalleryUnavailable, match=r"database or disk is full.*people\.heirloom.*free space"):
        gallery.enrol("crowd", templates(*random_rows(2000)), space=SPACE)
    assert gallery.check() == []
    assert gallery.stats().subjects == 1
    gallery.enrol("ada", templates(NORTH), space=SPACE)
    assert gallery.stats().templates == 2


COME_AND_GO = """
import sqlite3, sys

connection = sqlite3.connect(sys.argv[1])
print(*connection.execute("SELECT count(*) FROM subjects").fetchone())
connection.close()
"""


def test_looking_at_a_gallery_that_is_open_here_takes_nothing_from_those_who_use_it(gallery, path):
    def as_seen_by_another_process() -> int:
        seen = subprocess.run(
            [sys.executable, "-c", COME_AND_GO, str(path)], capture_output=True, text=True, check=True
        )
        return int(seen.stdout)

    gallery.enrol("ada", templates(EAST), space=SPACE)
    inspect(path)
    assert as_seen_by_another_process() == 1
    gallery.enrol("bob", templates(NORTH), space=SPACE)
    assert as_seen_by_another_process() == 2
