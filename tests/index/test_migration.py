"""Every store that a version ever shipped wrote is opened, brought up to date, and answers as it did.

The stores in `golden/` were each written by `fill` with the code of their time, when that was the newest format:
`tests.index.test_migration.fill(Path("tests/index/golden/v2.heirloom"))`. They are never written again.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from index.connection import connect
from index.errors import GalleryCorrupt, GalleryForeign, GalleryUnavailable
from index.gallery import Candidate, create_gallery, open_gallery
from index.migrate import migrate_tables
from index.schema import SCHEMA_VERSION
from index.store import open_store
from tests.index.fakes import SPACE, TEACHER_ID, cosine, random_rows, templates

GOLDEN = sorted((Path(__file__).parent / "golden").glob("v*.heirloom"))
ROWS = random_rows(6, seed=1)
STUDENT_ID = "fedcba9876543210"


def fill(path: Path) -> None:
    """What every golden store holds."""
    with create_gallery(path, SPACE) as gallery:
        gallery.enrol("ada", templates(ROWS[0], ROWS[1], source="aa" * 32), space=SPACE, name="Ada Lovelace")
        gallery.enrol("bob", templates(ROWS[2]), space=SPACE)
        gallery.enrol("gone", templates(ROWS[3]), space=SPACE)
        gallery.forget("gone")
        gallery.enrol("cy", templates(ROWS[4], model_id=STUDENT_ID), space=SPACE, name="Cyrus")
        gallery.set_active_model("small-dlib", started_with="dlib")


@pytest.fixture(params=GOLDEN, ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest, path: Path) -> Path:
    """A copy of one of them."""
    return Path(shutil.copy(request.param, path))


@pytest.fixture
def oldest(path: Path) -> Path:
    """A copy of one of format 1."""
    return Path(shutil.copy(GOLDEN[0], path))


def layout(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_there_is_a_golden_store_of_every_format():
    assert [path.stem for path in GOLDEN] == [f"v{version}" for version in range(1, SCHEMA_VERSION + 1)]


def test_a_golden_store_answers_as_it_did(golden):
    with open_gallery(golden) as gallery:
        assert gallery.search(ROWS[:1], 5, space=SPACE) == [
            [
                Candidate("ada", "Ada Lovelace", 1.0, 1),
                Candidate("cy", "Cyrus", cosine(ROWS[4], ROWS[0]), 5),
                Candidate("bob", "bob", cosine(ROWS[2], ROWS[0]), 3),
            ]
        ]
        assert gallery.stats().models == {TEACHER_ID: 3, STUDENT_ID: 1}
        assert gallery.stats().version >= 5
        assert (gallery.active_model(), gallery.started_with()) == ("small-dlib", "dlib")
        assert gallery.sources() == {"aa" * 32: {"ada"}}
        assert gallery.check() == []


def test_ids_go_on_where_they_were_even_over_what_was_forgotten(golden):
    with open_gallery(golden) as gallery:
        assert gallery.enrol("new", templates(ROWS[5]), space=SPACE) == [6]
        assert gallery.store.read(lambda c: c.execute("SELECT max(number) FROM subjects").fetchone()) == (5,)


def test_a_store_that_was_brought_up_to_date_is_laid_out_like_a_new_one(golden, tmp_path):
    open_gallery(golden).close()
    new = tmp_path / "new.heirloom"
    create_gallery(new, SPACE).close()
    assert layout(golden) == layout(new)


def test_a_gallery_of_format_1_is_the_default_collection(oldest):
    with open_store(oldest) as store:
        (found,) = store.collections()
        assert (found.name, found.space, found.subjects, found.templates) == ("default", SPACE, 3, 4)


def test_the_room_of_the_old_tables_is_given_back(oldest):
    open_gallery(oldest).close()
    with closing(sqlite3.connect(oldest)) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)


def test_the_audit_log_begins_with_the_migration(oldest):
    with open_store(oldest) as store:
        rows = store.read(lambda c: c.execute("SELECT action, collection, body FROM audit").fetchall())
    assert rows == [("migrate", "default", '{"from":1,"to":2}')]


@pytest.mark.parametrize(("table", "what"), [("subjects", "Subject number 2"), ("templates", "Template 2")])
def test_a_damaged_row_stops_the_migration_and_leaves_the_store_what_it_was(oldest, table, what):
    key = "number" if table == "subjects" else "id"
    with closing(connect(oldest)) as connection:
        connection.execute(f"UPDATE {table} SET crc = crc + 1 WHERE {key} = 2")  # noqa: S608 - names of ours
    before = oldest.read_bytes()
    with pytest.raises(GalleryCorrupt, match=f"{what} fails its checksum"):
        open_gallery(oldest)
    assert oldest.read_bytes() == before


def test_a_migration_cut_short_leaves_the_store_what_it_was(oldest):
    before = oldest.read_bytes()
    with closing(connect(oldest)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        migrate_tables(connection, oldest, "2026-01-01T00:00:00+00:00")
        connection.execute("ROLLBACK")
    assert oldest.read_bytes() == before
    with open_gallery(oldest) as gallery:
        assert gallery.check() == []


def test_two_who_open_an_old_store_at_once_both_find_it_up_to_date(oldest):
    with closing(connect(oldest)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        migrate_tables(connection, oldest, "2026-01-01T00:00:00+00:00")
        migrate_tables(connection, oldest, "2026-01-01T00:00:00+00:00")  # the second, once it is its turn
        connection.execute("COMMIT")
    with open_gallery(oldest) as gallery:
        assert gallery.stats().subjects == 3


def test_an_old_store_that_cannot_be_written_is_refused_with_what_to_do(oldest, monkeypatch):
    def read_only(path: Path) -> sqlite3.Connection:
        return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)

    monkeypatch.setattr("index.migrate.connect", read_only)
    with pytest.raises(GalleryUnavailable, match=r"of an older format.*format 2.*cannot be written.*Make it writable"):
        open_gallery(oldest)


def test_a_newer_format_is_refused_with_both_numbers(path):
    create_gallery(path, SPACE).close()
    with closing(connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(GalleryForeign, match=f"format {SCHEMA_VERSION + 1}; this version reads up to {SCHEMA_VERSION}"):
        open_gallery(path)
