"""A backup may hold two people as one who were parted since: one is forgotten, and leaves it; the other stays."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from index.backup import back_up, purge, unpurged
from index.forgotten import gone_of, held, remove
from index.gallery import create_gallery, open_gallery
from index.repeats import Kept, Repeats, Whom
from index.restore import restore
from index.sealing import KEY
from tests.index.fakes import EAST, SPACE, TEACHER_ID, random_rows, templates
from tests.index.test_forget import stored_bytes, traces

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)
PEOPLE = {"ada": 1, "bob": 2, "cyd": 3}
ROWS = {subject: random_rows(2, seed=seed) for subject, seed in PEOPLE.items()}
NEGATIVE = random_rows(1, seed=9)[0]


def of(subject: str) -> list[bytes]:
    """What must be nowhere once they are forgotten."""
    return [*stored_bytes(ROWS[subject]), f"{subject}-lovelace".encode(), f"Full Name of {subject}".encode()]


@pytest.fixture
def three(gallery):
    for subject, rows in ROWS.items():
        gallery.enrol(f"{subject}-lovelace", templates(*rows), space=SPACE, name=f"Full Name of {subject}")
    return gallery


def merge(gallery: Any, subject: str, into: str) -> int:
    return gallery.merge(f"{subject}-lovelace", f"{into}-lovelace")


def forget(gallery: Any, subject: str) -> None:
    receipt = gallery.forget(f"{subject}-lovelace")
    assert (receipt.left_in, receipt.erased_at is not None) == ((), True)
    assert traces(gallery.path, *of(subject)) == 0


def people(path: Path) -> dict[str, int]:
    with open_gallery(path) as gallery:
        assert gallery.check() == []
        return {each.subject_id.removesuffix("-lovelace"): each.templates for each in gallery.subjects(100)}


def test_whoever_was_parted_from_the_forgotten_stays_in_the_backup_as_the_undoing_of_the_merge_leaves_them(three, path):
    example = three.add_negative("bob-lovelace", NEGATIVE, space=SPACE, model_id=TEACHER_ID)
    before = three.subject("bob-lovelace")
    number = merge(three, "bob", "ada")
    taken = back_up(path, None, NOON).path
    three.undo_merge(number)
    forget(three, "ada")
    assert people(taken) == {"bob": 2, "cyd": 2}
    three.close()
    restore(taken, path, LATER, force=True)
    with open_gallery(path) as restored:
        assert restored.subject("bob-lovelace") == before
        assert restored.negatives("bob-lovelace") == [example]
        assert restored.search(ROWS["bob"][:1], 1, space=SPACE)[0][0].subject_id == "bob-lovelace"


def test_whoever_was_merged_and_parted_leaves_the_backup_and_the_other_one_stays(three, path):
    number = merge(three, "bob", "ada")
    taken = back_up(path, None, NOON).path
    three.undo_merge(number)
    forget(three, "bob")
    assert people(taken) == {"ada": 2, "cyd": 2}


def test_who_was_still_part_of_the_forgotten_leaves_the_backup_with_them(three, path):
    merge(three, "cyd", "bob")
    number = merge(three, "bob", "ada")
    taken = back_up(path, None, NOON).path
    three.undo_merge(number)
    forget(three, "bob")
    assert traces(path, *of("cyd")) == 0
    assert people(taken) == {"ada": 2}


def test_who_was_part_of_the_forgotten_in_the_backup_alone_stays(three, path):
    first = merge(three, "cyd", "bob")
    second = merge(three, "bob", "ada")
    taken = back_up(path, None, NOON).path
    three.undo_merge(second)
    three.undo_merge(first)
    forget(three, "bob")
    assert people(taken) == {"ada": 2, "cyd": 2}
    forget(three, "ada")
    assert people(taken) == {"cyd": 2}


def test_who_is_merged_in_a_restored_backup_is_forgotten_with_the_other_one(three, path):
    number = merge(three, "bob", "ada")
    taken = back_up(path, None, NOON).path
    three.undo_merge(number)
    three.close()
    restore(taken, path, LATER, force=True)
    with open_gallery(path) as again:
        forget(again, "ada")
        assert traces(path, *of("bob")) == 0
    assert people(taken) == {"cyd": 2}


def test_who_was_merged_before_a_backup_was_restored_that_had_them_as_two_stays(three, path):
    taken = back_up(path, None, NOON).path
    merge(three, "bob", "ada")
    later = back_up(path, None, LATER).path
    three.close()
    restore(taken, path, LATER, force=True)
    with open_gallery(path) as again:
        forget(again, "ada")
    assert people(taken) == people(later) == {"bob": 2, "cyd": 2}


def test_an_id_that_a_forgotten_one_had_is_free_for_whoever_comes_back_under_it(three, path):
    number = merge(three, "bob", "ada")
    three.enrol("bob-lovelace", templates(EAST), space=SPACE)
    taken = back_up(path, None, NOON).path
    three.forget_all(["bob-lovelace"])
    three.undo_merge(number)
    three.merge("ada-lovelace", "cyd-lovelace")
    three.forget("cyd-lovelace")
    assert people(taken) == {"bob": 2}


def test_a_backup_that_has_two_of_one_id_is_named_and_left_as_it_is(three, path):
    number = merge(three, "bob", "ada")
    three.enrol("bob-lovelace", templates(EAST), space=SPACE)
    taken = back_up(path, None, NOON).path
    three.merge("bob-lovelace", "cyd-lovelace")
    three.undo_merge(number)
    receipt = three.forget("ada-lovelace")
    assert receipt.erased_at is None
    assert "two people of the id bob-lovelace" in receipt.left_in[0]
    assert people(taken) == {"ada": 4, "bob": 1, "cyd": 2}
    assert unpurged(path) == [f"backup {taken} still has somebody who was forgotten: forget anybody, or delete it"]


def test_many_who_are_one_are_forgotten_as_one(gallery, path):
    for number in range(70):
        gallery.put_subject(f"copy-{number}")
    taken = back_up(path, None, NOON).path
    for number in range(1, 70):
        gallery.merge(f"copy-{number}", "copy-0")
    assert gallery.forget("copy-0").erased_at is not None
    assert people(taken) == {}


def test_an_answer_that_names_one_who_was_merged_goes_with_the_forgotten(three, path):
    kept = Kept("ab", 201, json.dumps({"subject_id": "bob-lovelace"}))
    Repeats(three.store).keep("key", "one", kept, Whom(three.number, "bob-lovelace"), NOON)
    merge(three, "bob", "ada")
    forget(three, "ada")
    assert traces(path, *of("bob")) == 0


# Sealed.


@pytest.fixture
def sealed(path, monkeypatch):
    monkeypatch.setenv(KEY, bytes(range(32)).hex())
    with create_gallery(path, SPACE) as made:
        for subject, rows in ROWS.items():
            made.enrol(f"{subject}-lovelace", templates(*rows), space=SPACE)
        yield made


def test_whoever_comes_back_in_a_sealed_backup_is_sealed_anew(sealed, path):
    number = merge(sealed, "bob", "ada")
    taken = back_up(path, None, NOON).path
    sealed.undo_merge(number)
    sealed.forget("ada-lovelace")
    assert people(taken) == {"bob": 2, "cyd": 2}
    with open_gallery(taken) as copy:
        assert copy.search(ROWS["bob"][:1], 1, space=SPACE)[0][0].subject_id == "bob-lovelace"


def test_without_its_key_a_sealed_backup_is_named_and_with_it_made_good(sealed, path, monkeypatch):
    number = merge(sealed, "bob", "ada")
    back_up(path, None, NOON)
    sealed.undo_merge(number)
    key = bytes(range(32)).hex()
    monkeypatch.delenv(KEY)
    assert KEY in sealed.forget("ada-lovelace").left_in[0]
    monkeypatch.setenv(KEY, key)
    assert [found.fault for found in purge(path)] == [""]


def test_to_leave_a_sealed_backup_takes_no_key(sealed, path, monkeypatch):
    number = merge(sealed, "bob", "ada")
    taken = back_up(path, None, NOON).path
    sealed.undo_merge(number)
    monkeypatch.delenv(KEY)
    assert sealed.forget("bob-lovelace").erased_at is not None
    monkeypatch.setenv(KEY, bytes(range(32)).hex())
    assert people(taken) == {"ada": 2, "cyd": 2}


# Logs from before rows had the numbers of those who went.


def without_numbers(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM audit ORDER BY seq").fetchall()
    return [
        (*row[:6], json.dumps({key: value for key, value in json.loads(row[6]).items() if key != "numbers"}), *row[7:])
        for row in rows
    ]


@pytest.mark.parametrize(
    ("merges", "undone", "forgotten", "left"),
    [
        (["bob ada"], 1, "ada", {"bob", "cyd"}),
        (["bob ada"], 1, "bob", {"ada", "cyd"}),
        (["bob ada"], 0, "ada", {"cyd"}),
        (["cyd bob", "bob ada"], 1, "bob", {"ada"}),
        (["cyd bob", "bob ada"], 2, "bob", {"ada", "cyd"}),
        ([], 0, "ada", {"bob", "cyd"}),
    ],
)
def test_a_row_without_numbers_is_read_by_its_digest(three, path, merges, undone, forgotten, left):
    numbers = [merge(three, *pair.split()) for pair in merges]
    taken = back_up(path, path.with_name("elsewhere.heirloom"), NOON).path
    for number in numbers[::-1][:undone]:
        three.undo_merge(number)
    three.forget(f"{forgotten}-lovelace")
    with closing(sqlite3.connect(taken)) as copy:
        remove(copy, held(copy, gone_of(without_numbers(path))))
        copy.commit()
    assert people(taken).keys() == left


def test_who_was_merged_since_leaves_by_digest_with_the_other_one(three, path):
    taken = back_up(path, path.with_name("elsewhere.heirloom"), NOON).path
    merge(three, "bob", "ada")
    three.undo_merge(merge(three, "cyd", "ada"))
    three.forget("ada-lovelace")
    with closing(sqlite3.connect(taken)) as copy:
        remove(copy, held(copy, gone_of(without_numbers(path))))
        copy.commit()
    assert people(taken).keys() == {"cyd"}
