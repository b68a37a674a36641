"""A backup is the store of one moment; whoever is forgotten leaves it; restoring it brings nobody back."""

import threading
from contextlib import closing
from unittest.mock import Mock

import pytest

from index import audit
from index import backup as keeping
from index.backup import back_up, backups, elsewhere, folder_of, locked, purge, unpurged
from index.connection import unchanging
from index.errors import GalleryCorrupt, GalleryExists, GalleryUnavailable
from index.gallery import create_gallery, open_gallery
from index.restore import restore
from index.store import open_store
from tests.index.backed_up import LATER, NOON, people
from tests.index.fakes import EAST, SPACE, UP, random_rows, templates
from tests.index.test_forget import ADA, PERSONAL, enrol_ada, traces

# Taking one.


def test_a_backup_is_a_store_as_of_that_moment(gallery, taken):
    gallery.enrol("dee", templates(UP), space=SPACE)
    assert people(taken) == ["ada-lovelace", "bob", "cy"]
    with open_gallery(taken) as copy:
        assert [found.subject_id for found in copy.search(ADA[:1], 1, space=SPACE)[0]] == ["ada-lovelace"]


def test_a_backup_says_what_it_holds_and_is_one_file(gallery, path):
    enrol_ada(gallery)
    made = back_up(path, None, NOON)
    assert (made.subjects, made.templates, made.taken, made.controlled) == (3, 7, NOON.isoformat(), True)
    assert made.path == folder_of(path) / "people-20260101T120000Z.heirloom"
    assert made.bytes == made.path.stat().st_size
    assert {file.name for file in folder_of(path).iterdir()} == {".lock", made.path.name}


def test_writes_go_on_while_a_backup_is_taken_and_it_is_consistent(gallery, path, tmp_path):
    stop = threading.Event()

    def enrol_pairs() -> None:
        for n in range(10_000):
            if stop.is_set():
                return
            rows = random_rows(2, seed=n)
            gallery.enrol(f"s{n}", templates(*rows), space=SPACE)

    writer = threading.Thread(target=enrol_pairs)
    writer.start()
    try:
        made = [back_up(path, tmp_path / f"{n}.heirloom", NOON) for n in range(4)]
    finally:
        stop.set()
        writer.join()
    assert [backup.templates for backup in made] == [2 * backup.subjects for backup in made]
    assert people(made[-1].path) == sorted(f"s{n}" for n in range(made[-1].subjects))


def test_a_backup_has_no_bytes_of_those_who_were_forgotten_before(gallery, path, monkeypatch):
    enrol_ada(gallery)
    monkeypatch.setattr(gallery.store, "scrub", lambda _: (False, ()))  # a reader is in the way
    gallery.forget("ada-lovelace")
    assert traces(back_up(path, None, NOON).path, *PERSONAL) == 0


def test_a_backup_never_replaces_a_file(path, taken):
    before = taken.read_bytes()
    with pytest.raises(GalleryExists, match=taken.name):
        back_up(path, None, NOON)
    assert taken.read_bytes() == before
    assert not list(folder_of(path).glob("*.part"))


def test_a_damaged_store_is_not_backed_up(gallery, path, tmp_path):
    enrol_ada(gallery)
    gallery.store.write(lambda connection: connection.execute("UPDATE templates SET source = 'x'").close())
    with pytest.raises(GalleryCorrupt, match="checksum"):
        back_up(path, tmp_path / "copy.heirloom", NOON)
    assert not (tmp_path / "copy.heirloom").exists()


@pytest.mark.usefixtures("gallery")
def test_a_backup_that_cannot_be_written_says_so(path, tmp_path):
    with pytest.raises(GalleryUnavailable):
        back_up(path, tmp_path / "absent" / "copy.heirloom", NOON)


def test_the_log_tells_of_a_backup_and_knows_those_that_are_elsewhere(gallery, path, tmp_path):
    back_up(path, None, NOON)
    made = back_up(path, tmp_path, LATER)
    assert not made.controlled
    assert gallery.store.read(elsewhere) == [str(made.path)]
    (newest,) = gallery.store.read(lambda connection: audit.entries(connection, 1))
    assert (newest.action, newest.body["controlled"]) == ("backup", False)


# Forgetting.


def test_whoever_is_forgotten_leaves_every_backup_to_the_last_byte(gallery, path, taken):
    second = back_up(path, None, LATER).path
    assert traces(taken, *PERSONAL) == traces(second, *PERSONAL) == len(PERSONAL)
    receipt = gallery.forget("ada-lovelace")
    assert (receipt.left_in, receipt.erased_at is not None) == ((), True)
    assert traces(taken, *PERSONAL) == traces(second, *PERSONAL) == 0
    assert people(taken) == people(second) == ["bob", "cy"]


def test_whoever_is_forgotten_leaves_the_snapshot_files_of_a_backup_that_somebody_opened(gallery, taken):
    with open_gallery(taken) as copy:
        copy.compact()
        codes = [code for _, code in copy.codes_of([row.template_id for row in copy.templates("ada-lovelace")])]
    assert traces(taken, *codes) == len(ADA)
    assert gallery.forget("ada-lovelace").erased_at is not None
    assert traces(taken, *codes) == 0


def test_a_template_that_is_forgotten_alone_leaves_the_backups_too(gallery, taken):
    first, *others = (template.template_id for template in gallery.templates("ada-lovelace"))
    query = "SELECT embedding FROM templates WHERE id = ?"
    row = gallery.store.read(lambda connection: connection.execute(query, (first,)).fetchone()[0])
    assert traces(taken, row) == 1
    receipt = gallery.forget_template("ada-lovelace", first)
    assert (receipt.left_in, receipt.erased_at is not None) == ((), True)
    assert traces(taken, row) == 0
    with open_gallery(taken) as copy:
        assert [template.template_id for template in copy.templates("ada-lovelace")] == others


def test_a_backup_that_has_nobody_to_remove_is_not_written_to(gallery, taken):
    gallery.enrol("dee", templates(UP), space=SPACE)
    before = taken.read_bytes()
    gallery.forget("dee")
    assert taken.read_bytes() == before


def test_who_was_forgotten_and_enrolled_again_stays_in_later_backups(gallery, path, taken):
    gallery.forget("bob")
    gallery.enrol("bob", templates(EAST), space=SPACE)
    later = back_up(path, None, LATER).path
    gallery.forget("cy")
    assert people(taken) == ["ada-lovelace"]
    assert people(later) == ["ada-lovelace", "bob"]


def test_who_was_merged_with_somebody_forgotten_leaves_the_backups_too(gallery, taken):
    gallery.merge("ada-lovelace", "bob")
    gallery.forget("bob")
    assert people(taken) == ["cy"]
    assert traces(taken, *PERSONAL) == 0


def test_who_was_part_of_somebody_else_when_it_was_taken_leaves_it_alone(gallery, path):
    enrol_ada(gallery)
    merge = gallery.merge("ada-lovelace", "bob")
    taken = back_up(path, None, NOON).path
    gallery.undo_merge(merge)
    gallery.forget("ada-lovelace")
    assert people(taken) == ["bob", "cy"]
    assert traces(taken, *PERSONAL) == 0


def test_a_deleted_collection_leaves_the_backups(gallery, path):
    gallery.store.create_collection("guests", SPACE)
    gallery.store.gallery("guests").enrol("dee", templates(UP), space=SPACE)
    later = back_up(path, None, LATER).path
    assert gallery.store.delete_collection("guests")
    with open_store(later) as copy:
        assert copy.gallery("guests").subjects(10) == []


def test_a_purge_that_was_cut_short_is_made_good_by_the_next(gallery, path, taken, monkeypatch):
    monkeypatch.setattr("index.store.purge", lambda _: [])  # killed before it came to the backups
    gallery.forget("ada-lovelace")
    monkeypatch.undo()
    assert unpurged(path) == [f"backup {taken} still has somebody who was forgotten: forget anybody, or delete it"]
    assert [(done.path, done.subjects, done.templates, done.fault) for done in purge(path)] == [(taken, 1, 5, "")]
    assert unpurged(path) == []
    assert purge(path) == []


@pytest.mark.usefixtures("taken")
def test_a_backup_is_looked_into_once_for_each_who_is_forgotten(gallery, monkeypatch):
    purge_one = Mock(wraps=keeping._purge)
    monkeypatch.setattr(keeping, "_purge", purge_one)
    gallery.forget("ada-lovelace")
    assert purge_one.call_count == 1


def test_a_backup_that_cannot_be_opened_is_named_and_the_erasure_is_not_called_done(gallery, taken):
    taken.write_bytes(taken.read_bytes()[:5000])
    receipt = gallery.forget("ada-lovelace")
    assert receipt.erased_at is None
    assert taken.name in receipt.left_in[0]


@pytest.mark.usefixtures("taken")
def test_backups_that_the_disk_does_not_give_are_named_without_their_folder(gallery, path, monkeypatch):
    monkeypatch.setattr(keeping, "backups", Mock(side_effect=PermissionError(13, "Permission denied", str(path))))
    assert gallery.forget("ada-lovelace").left_in == ("people.heirloom.backups: Permission denied",)


@pytest.mark.usefixtures("taken")
def test_a_backup_of_another_store_is_left_alone_and_named(gallery, path, tmp_path):
    with create_gallery(tmp_path / "other.heirloom", SPACE) as other:
        enrol_ada(other)
    stray = folder_of(path) / "stray.heirloom"
    stray.write_bytes((tmp_path / "other.heirloom").read_bytes())
    assert gallery.forget("ada-lovelace").left_in == (
        "stray.heirloom: a backup of another store, or of an older format. Move it away.",
    )
    assert people(stray) == ["ada-lovelace", "bob", "cy"]


def test_forgetting_waits_for_a_backup_that_began_before(gallery, path):
    enrol_ada(gallery)
    forgotten = threading.Thread(target=gallery.forget, args=("ada-lovelace",))
    with locked(path):  # a backup is being taken, and has read everybody
        copy = folder_of(path) / "copy.heirloom"
        with closing(unchanging(path)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        forgotten.start()
    forgotten.join()
    assert people(copy) == ["bob", "cy"]


def test_who_was_parted_from_somebody_before_that_one_was_forgotten_stays_in_the_backups(gallery, taken):
    gallery.undo_merge(gallery.merge("ada-lovelace", "bob"))
    gallery.forget("bob")
    assert people(taken) == ["ada-lovelace", "cy"]


def test_somebody_new_who_is_forgotten_takes_nobody_along_who_had_the_id_before_a_merge(gallery, path):
    enrol_ada(gallery)
    gallery.merge("ada-lovelace", "bob")
    taken = back_up(path, None, NOON).path
    gallery.enrol("ada-lovelace", templates(UP), space=SPACE)
    gallery.forget("ada-lovelace")
    with open_gallery(taken) as copy:
        assert copy.subject("bob").templates == 6


# Whatever they are called.


def test_backups_stay_whatever_stands_in_their_names(tmp_path):
    path = tmp_path / "north.partners.heirloom"
    with create_gallery(path, SPACE) as gallery:
        enrol_ada(gallery)
        made = back_up(path, folder_of(path) / "monday.partial.heirloom", NOON)
        gallery.forget("ada-lovelace")
        assert backups(path) == [made.path]
    assert people(made.path) == ["bob", "cy"]


@pytest.mark.parametrize(("name", "backup"), [("people", "people.monday"), ("people.heirloom", "monday.db")])
def test_a_backup_of_any_name_is_found(tmp_path, name, backup):
    path = tmp_path / name
    with create_gallery(path, SPACE) as gallery:
        enrol_ada(gallery)
        made = back_up(path, folder_of(path) / backup, NOON)
        (folder_of(path) / "read.me").write_text("of last year")
        assert made.controlled
        assert gallery.forget("ada-lovelace").erased_at
        assert backups(path) == [made.path]
        assert unpurged(path) == []
    assert people(made.path) == ["bob", "cy"]


def test_what_a_process_left_that_died_is_removed(gallery, path, taken):
    left = folder_of(path) / f"{path.name}.4242.part"
    left.write_bytes(taken.read_bytes())
    gallery.forget("ada-lovelace")
    assert not left.exists()
    assert taken.exists()


def test_a_link_to_a_gallery_is_the_gallery(tmp_path):
    real, link = tmp_path / "disk" / "real.heirloom", tmp_path / "people.heirloom"
    real.parent.mkdir()
    create_gallery(real, SPACE).close()
    link.symlink_to(real)
    with open_gallery(link) as gallery:
        enrol_ada(gallery)
        made = back_up(link, None, NOON)
        assert made.path.parent == folder_of(real)
        assert gallery.forget("ada-lovelace").erased_at
    assert people(made.path) == ["bob", "cy"]
    done = restore(made.path, link, LATER, force=True)
    assert link.is_symlink()
    assert done.replaced is not None
    assert people(real) == people(done.replaced) == ["bob", "cy"]
    assert {file.name for file in tmp_path.iterdir()} == {"disk", link.name}
