"""A restored store is what the backup held, and brings nobody back who was forgotten since."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from index import audit
from index.backup import backups
from index.errors import GalleryCorrupt, GalleryExists, GalleryMissing
from index.gallery import open_gallery
from index.restore import restore
from index.store import open_store
from tests.index.backed_up import LATER, NOON, people
from tests.index.fakes import NORTH, SPACE, UP, templates
from tests.index.test_forget import PERSONAL, enrol_ada, traces


def test_a_restored_store_is_what_the_backup_held(taken, tmp_path):
    goal = tmp_path / "elsewhere.heirloom"
    restored = restore(taken, goal, LATER)
    assert (restored.subjects, restored.templates, restored.replaced, restored.log_went_on) == (3, 7, None, False)
    assert people(goal) == ["ada-lovelace", "bob", "cy"]


def test_restoring_never_replaces_a_store_unless_it_is_forced_and_keeps_it_then(gallery, path, taken):
    gallery.enrol("dee", templates(UP), space=SPACE)
    gallery.close()
    with pytest.raises(GalleryExists, match="--force"):
        restore(taken, path, LATER)
    restored = restore(taken, path, LATER, force=True)
    assert people(path) == ["ada-lovelace", "bob", "cy"]
    assert restored.replaced is not None
    assert people(restored.replaced) == ["ada-lovelace", "bob", "cy", "dee"]


def test_restoring_brings_nobody_back_who_was_forgotten_since(gallery, path, taken, tmp_path):
    copied = tmp_path / "taken-away.heirloom"
    copied.write_bytes(taken.read_bytes())  # not under our control
    gallery.forget("ada-lovelace")
    gallery.close()
    restored = restore(copied, path, LATER, force=True)
    assert (restored.forgotten_again, restored.log_went_on) == (1, True)
    assert people(path) == ["bob", "cy"]
    assert traces(path, *PERSONAL) == 0


def test_the_log_goes_on_in_the_restored_store(gallery, path, taken):
    gallery.enrol("dee", templates(UP), space=SPACE)
    kept = gallery.store.read(audit.head)
    gallery.close()
    restore(taken, path, LATER, force=True)
    with open_store(path) as store:
        assert store.read(lambda connection: audit.verify(connection, kept)) == []
        newest = store.read(lambda connection: audit.entries(connection, 1))[0]
    assert (newest.action, newest.body) == ("restore", {"forgotten_again": 0, "log_went_on": True})


def test_no_number_is_given_twice_after_restoring(gallery, path, taken):
    (given,) = gallery.enrol("dee", templates(UP), space=SPACE)
    gallery.close()
    restore(taken, path, LATER, force=True)
    with open_gallery(path) as again:
        assert again.enrol("eve", templates(NORTH), space=SPACE) == [given + 1]


def test_numbers_jump_ahead_where_the_old_store_cannot_be_read(gallery, path, taken):
    (given,) = gallery.enrol("dee", templates(UP), space=SPACE)
    gallery.close()
    path.write_bytes(path.read_bytes()[:3000])
    restored = restore(taken, path, LATER, force=True)
    assert not restored.log_went_on
    with open_gallery(path) as again:
        assert again.enrol("eve", templates(NORTH), space=SPACE)[0] > given + 100_000


def test_a_log_that_was_left_by_a_crash_is_not_taken_for_the_restored_stores(gallery, path, taken):
    gallery.enrol("dee", templates(UP), space=SPACE)
    wal = path.with_name(path.name + "-wal")
    left = (path.read_bytes(), wal.read_bytes())
    gallery.close()
    path.write_bytes(left[0])
    wal.write_bytes(left[1])
    restored = restore(taken, path, LATER, force=True)
    assert people(path) == ["ada-lovelace", "bob", "cy"]
    assert people(restored.replaced) == ["ada-lovelace", "bob", "cy", "dee"]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_damaged_backup_is_refused_and_the_store_left_alone(gallery, path, taken, share):
    gallery.close()
    before = path.read_bytes()
    taken.write_bytes(taken.read_bytes()[: int(taken.stat().st_size * share)])
    with pytest.raises(GalleryCorrupt):
        restore(taken, path, LATER, force=True)
    assert path.read_bytes() == before


def test_a_backup_with_a_damaged_row_is_refused(gallery, path, taken):
    gallery.close()
    with closing(sqlite3.connect(taken)) as connection, connection:
        connection.execute("UPDATE subjects SET name = 'Mallory' WHERE subject_id = 'bob'")
    with pytest.raises(GalleryCorrupt, match="checksum"):
        restore(taken, path, LATER, force=True)


def test_no_backup_at_the_path_is_an_error_that_names_it(path, tmp_path):
    with pytest.raises(GalleryMissing, match="absent"):
        restore(tmp_path / "absent.heirloom", path, LATER)


def test_a_backup_of_the_first_format_is_restored_into_this_one(path):
    golden = Path(__file__).parent / "golden" / "v1.heirloom"
    before = golden.read_bytes()
    restored = restore(golden, path, LATER)
    assert len(people(path)) == restored.subjects > 0
    assert golden.read_bytes() == before


def test_the_replaced_store_is_under_our_control_as_well(gallery, path, taken):
    gallery.close()
    restored = restore(taken, path, LATER, force=True)
    assert restored.replaced in backups(path)
    with open_gallery(path) as again:
        again.forget("ada-lovelace")
    assert traces(restored.replaced, *PERSONAL) == 0


def test_a_store_is_no_backup_of_itself(gallery, path):
    enrol_ada(gallery)
    with pytest.raises(GalleryExists, match="no backup of it"):
        restore(path, path, NOON, force=True)
