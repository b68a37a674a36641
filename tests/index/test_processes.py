"""Several processes at one gallery, and processes that are killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from index.connection import connect
from index.errors import GalleryBusy
from index.gallery import create_gallery, open_gallery
from tests.index.fakes import EAST, NORTH, SPACE, random_rows, templates

ROUNDS = 4
ENROL_FOR_EVER = """
import itertools, sys
from pathlib import Path
from index.gallery import open_gallery
from tests.index.fakes import SPACE, random_rows, templates

with open_gallery(Path(sys.argv[1])) as gallery:
    start = gallery.stats().subjects
    for n in itertools.count(start):
        gallery.enrol(f"s{n}", templates(*random_rows(2, seed=n)), space=SPACE)
        if n % 5 == 4:
            gallery.forget(f"s{n - 2}")
            gallery.enrol(f"s{n - 2}", templates(*random_rows(2, seed=n - 2)), space=SPACE)
        print(n, flush=True)
"""


def killed_after(lines: int, path: Path) -> list[int]:
    """Enrol in another process, kill it (SIGKILL) once it acknowledged so many; the numbers that it acknowledged."""
    command = [sys.executable, "-c", ENROL_FOR_EVER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as child:
        assert child.stdout is not None
        answered = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        return [int(line) for line in answered + child.stdout.readlines() if line.endswith("\n")]


def test_what_was_acknowledged_survives_a_kill(path):
    create_gallery(path, SPACE).close()
    for turn in range(ROUNDS):
        answered = killed_after(6 + 3 * turn, path)
        with open_gallery(path) as gallery:
            assert gallery.check() == []
            assert gallery.stats().subjects in (answered[-1] + 1, answered[-1] + 2, answered[-1])
            for n in answered:
                (found,) = gallery.search(random_rows(2, seed=n)[:1], 1, space=SPACE)
                forgotten_again = n == answered[-1] - 1 and found[0].subject_id != f"s{n}"
                assert found[0].subject_id == f"s{n}" or forgotten_again


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
    gallery._store._writer.execute("PRAGMA busy_timeout = 50")
    other = connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(GalleryBusy, match=path.name):
        gallery.enrol("bob", templates(NORTH), space=SPACE)
    assert [found.subject_id for found in gallery.search(EAST[None], 5, space=SPACE)[0]] == ["ada"]
    other.execute("ROLLBACK")
    other.close()
    gallery.enrol("bob", templates(NORTH), space=SPACE)
    assert gallery.stats().subjects == 2
