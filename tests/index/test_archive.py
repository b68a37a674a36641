"""Old rows of the audit log leave it for a file; log and file are one chain."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from index.audit import parse_head
from index.backup import back_up, folder_of, purge, unpurged
from index.commands.words import log_archived
from index.errors import AuditInvalid, GalleryExists
from index.gallery import create_gallery, open_gallery
from index.ledger import Archived, Query, archive_log, show_log, verify_log
from index.restore import restore
from index.store import open_store
from tests.index.fakes import EAST, SPACE, UP, templates

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def store(path: Path) -> Path:
    """With a row a day: ten before New Year's Day, and ten from then on."""
    create_gallery(path, SPACE).close()
    days = iter(range(-10, 10))
    with open_store(path, clock=lambda: NEW_YEAR + next(days) * DAY) as opened:
        for number in range(1, 21):
            assert opened.audit("cli", "identify", body={"number": number}) == number
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "old.jsonl"


def move(store: Path, file: Path, before: datetime = NEW_YEAR) -> int:
    return archive_log(store, file, before, NEW_YEAR + 30 * DAY).rows


def test_rows_from_before_a_day_move_and_the_chain_goes_on(store, file):
    assert move(store, file) == 10
    state = verify_log(store)
    assert (state.rows, state.faults) == (11, [])
    both = verify_log(store, archives=[file])
    assert (both.rows, both.faults, both.head) == (21, [], state.head)
    (newest,) = show_log(store, Query(1))
    assert (newest.seq, newest.action, newest.body["rows"], newest.body["upto"]) == (21, "archive", 10, 10)
    assert [json.loads(line)[0] for line in file.read_text().splitlines()] == list(range(1, 11))


def test_archives_follow_on_each_other(store, file, tmp_path):
    move(store, file)
    second = tmp_path / "second.jsonl"
    assert move(store, second, NEW_YEAR + 5 * DAY) == 5
    assert verify_log(store, archives=[file, second]).faults == verify_log(store).faults == []
    assert verify_log(store, archives=[file]).faults[0] == "Rows 11 to 15 are missing."
    assert verify_log(store, archives=[second]).faults[0] == "Rows 1 to 10 are missing."


def test_all_of_it_may_be_moved(store, file):
    assert move(store, file, NEW_YEAR + 20 * DAY) == 20
    assert verify_log(store).faults == []


def test_a_row_that_was_changed_in_an_archive_shows(store, file):
    move(store, file)
    file.write_text(file.read_text().replace('\\"number\\":3', '\\"number\\":4'))
    assert verify_log(store).faults == []
    assert verify_log(store, archives=[file]).faults == ["Row 3 was changed."]


def test_rows_that_were_removed_without_an_archive_still_show(store, file):
    move(store, file)
    with open_store(store) as opened:
        opened.write(lambda connection: connection.execute("DELETE FROM audit WHERE seq = 11").close())
    assert verify_log(store).faults == ["Row 11 is missing."]


def test_a_kept_head_is_looked_for_in_log_and_archives(store, file):
    third, tenth, last = (parse_head(f"{entry.seq}:{entry.hash}") for entry in _entries(store, 3, 10, 20))
    move(store, file)
    assert verify_log(store, last).faults == verify_log(store, tenth).faults == []
    assert "give that, too" in verify_log(store, third).faults[0]
    assert verify_log(store, third, [file]).faults == []
    wrong = parse_head(f"3:{tenth.hash}")
    assert "written anew" in verify_log(store, wrong, [file]).faults[0]


def _entries(store, *numbers):
    rows = {entry.seq: entry for entry in show_log(store, Query(100))}
    return [rows[number] for number in numbers]


def test_nothing_is_moved_where_nothing_is_old_or_a_file_is_in_the_way(store, file):
    with pytest.raises(AuditInvalid, match="2025-01-01"):
        move(store, file, NEW_YEAR - 365 * DAY)
    assert not file.exists()
    file.write_text("mine")
    with pytest.raises(GalleryExists):
        move(store, file)
    assert (file.read_text(), verify_log(store).rows) == ("mine", 20)


@pytest.mark.parametrize("content", [b"", b"[]\n", b"{}\n", b"\xff\n", b'["x", 1]\n'])
def test_what_is_no_archive_is_refused_or_shows(store, file, content):
    file.write_bytes(content)
    if content:
        with pytest.raises(AuditInvalid, match="not an archive"):
            verify_log(store, archives=[file])
    else:
        assert verify_log(store, archives=[file]).faults == []


def test_a_restore_says_when_the_log_does_not_reach_back_to_the_backup(path, file):
    now = datetime.now(UTC)
    with create_gallery(path, SPACE) as gallery:
        gallery.enrol("ada", templates(EAST), space=SPACE)
        gallery.enrol("bob", templates(UP), space=SPACE)
        taken = back_up(path, path.with_name("elsewhere.heirloom"), now)
        gallery.forget("ada")
    archive_log(path, file, now + DAY, now)
    done = restore(taken.path, path, now, force=True)
    assert not done.log_went_on
    with open_gallery(path) as gallery:
        assert gallery.check() == []


# What backups need of the log.


@pytest.fixture
def people(path: Path) -> Path:
    """A store with ada and bob."""
    with create_gallery(path, SPACE) as gallery:
        gallery.enrol("ada", templates(EAST), space=SPACE)
        gallery.enrol("bob", templates(UP), space=SPACE)
    return path


def in_backup(path: Path) -> list[str]:
    with open_gallery(path) as gallery:
        return [subject.subject_id for subject in gallery.subjects(9)]


def archive_all(path: Path, file: Path) -> Archived:
    return archive_log(path, file, datetime.now(UTC) + DAY, datetime.now(UTC))


def test_rows_that_tell_whom_a_backup_is_to_lose_stay_as_long_as_it_does(people, file, monkeypatch):
    taken = back_up(people, None, datetime.now(UTC)).path
    monkeypatch.setattr("index.store.purge", lambda _: [])  # the backup is in use, say
    with open_gallery(people) as gallery:
        gallery.forget("ada")
    monkeypatch.undo()
    done = archive_all(people, file)
    assert (done.rows, done.needed_by) == (2, taken)  # those that enrolled ada and bob
    assert unpurged(people) == [f"backup {taken} still has somebody who was forgotten: forget anybody, or delete it"]
    assert [found.subjects for found in purge(people)] == [1]
    assert in_backup(taken) == ["bob"]
    taken.unlink()
    assert archive_all(people, file.with_name("second.jsonl")).needed_by is None


def test_where_a_backup_needs_all_rows_none_moves(people, file):
    archive_all(people, file)
    taken = back_up(people, None, datetime.now(UTC)).path
    archive_all(people, file.with_name("second.jsonl"))
    with pytest.raises(AuditInvalid, match=taken.name):
        archive_all(people, file.with_name("third.jsonl"))
    assert not file.with_name("third.jsonl").exists()


def test_rows_from_before_every_backup_move_and_those_from_after_the_oldest_do_not(store, file):
    first = back_up(store, None, NEW_YEAR + 10 * DAY).path
    back_up(store, None, NEW_YEAR + 20 * DAY)
    assert move(store, file, NEW_YEAR + 5 * DAY) == 15
    done = archive_log(store, file.with_name("second.jsonl"), NEW_YEAR + 15 * DAY, NEW_YEAR + 30 * DAY)
    assert (done.rows, done.needed_by) == (5, first)
    assert log_archived(done).splitlines()[1] == f"the others stay as long as there is {first}"
    assert unpurged(store) == []


def test_for_a_backup_of_another_store_no_row_stays(people, file, tmp_path):
    folder_of(people).mkdir()
    create_gallery(tmp_path / "other.heirloom", SPACE).close()
    (folder_of(people) / "other.heirloom").write_bytes((tmp_path / "other.heirloom").read_bytes())
    golden = Path(__file__).parent / "golden" / "v1.heirloom"
    (folder_of(people) / "old.heirloom").write_bytes(golden.read_bytes())
    assert archive_all(people, file).needed_by is None


def test_a_backup_loses_whoever_is_forgotten_when_all_rows_up_to_it_were_moved(people, file):
    taken = back_up(people, None, datetime.now(UTC) + 9 * DAY).path
    archive_log(people, file, datetime.now(UTC) + DAY, NEW_YEAR)
    with open_gallery(people) as gallery:
        assert gallery.forget("ada").erased_at is not None
    assert in_backup(taken) == ["bob"]


def test_a_backup_from_before_all_that_the_log_has_is_never_called_in_order(people, file):
    taken = back_up(people, people.with_name("elsewhere.heirloom"), NEW_YEAR).path
    with open_gallery(people) as gallery:
        gallery.forget("ada")
    archive_all(people, file)
    inside = folder_of(people) / "brought.heirloom"
    inside.write_bytes(taken.read_bytes())
    (found,) = unpurged(people)
    assert "nobody can tell who was forgotten since" in found
    with open_gallery(people) as gallery:
        receipt = gallery.forget("bob")
        assert gallery.check() == [found]
    assert (receipt.erased_at, inside.name in receipt.left_in[0]) == (None, True)


def test_a_restored_log_has_no_rows_twice_that_were_archived_since(people, file):
    with open_store(people) as opened:
        moment = opened.clock()
        opened.audit("cli", "identify")
    taken = back_up(people, people.with_name("elsewhere.heirloom"), NEW_YEAR).path
    with open_gallery(people) as gallery:
        gallery.forget("ada")
    assert archive_log(people, file, moment, NEW_YEAR).rows == 2
    done = restore(taken, people, NEW_YEAR, force=True)
    assert (done.log_went_on, done.forgotten_again) == (True, 1)
    assert verify_log(people, archives=[file]).faults == verify_log(people).faults == []


def test_a_backup_with_an_empty_log_does_not_pass_for_the_beginning_of_one_that_was_archived(path, file):
    create_gallery(path, SPACE).close()
    taken = back_up(path, path.with_name("elsewhere.heirloom"), NEW_YEAR).path
    archive_all(path, file)
    assert not restore(taken, path, NEW_YEAR, force=True).log_went_on
