"""What replaces or rewrites a whole store has it alone, wherever the others are; and who waited gets the new one."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

import index.connection
import index.restore
from index.backup import back_up, folder_of
from index.connection import claim, connect
from index.errors import GalleryBusy
from index.gallery import create_gallery, open_gallery
from index.reseal import reseal
from index.restore import restore
from index.sealing import KEY
from tests.index.fakes import EAST, NORTH, SPACE, templates

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OPEN = """
import sys
from pathlib import Path
from index.gallery import open_gallery
with open_gallery(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def taken(path) -> Path:
    """A backup of a store with bob, who was forgotten by none."""
    with create_gallery(path, SPACE) as made:
        made.enrol("bob", templates(EAST), space=SPACE)
    return back_up(path, None, NOON).path


@pytest.fixture
def unseen(monkeypatch):
    """Others are in a container of their own: the system's list of locks does not name them here."""
    for place in (index.restore, index.reseal):
        monkeypatch.setattr(place, "users", lambda _: [])


@contextmanager
def opened_elsewhere(path: Path) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", OPEN, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == b"\n"
        yield


@pytest.mark.usefixtures("unseen")
def test_a_store_that_a_process_of_another_container_has_open_is_not_replaced(path, taken):
    before = path.stat().st_ino
    with opened_elsewhere(path), pytest.raises(GalleryBusy, match=r"in use by .* in another container"):
        restore(taken, path, NOON, force=True)
    assert path.stat().st_ino == before
    assert sorted(file.name for file in folder_of(path).iterdir()) == [".lock", taken.name]


@pytest.mark.usefixtures("taken", "unseen")
def test_a_store_that_a_process_of_another_container_has_open_is_not_sealed(path):
    with opened_elsewhere(path), pytest.raises(GalleryBusy, match=r"in use by .*Stop it first"):
        reseal(path, {KEY: "00" * 32}, NOON.isoformat())
    with open_gallery(path) as gallery:
        assert gallery.store.sealing.state == ""


def test_nobody_opens_a_store_while_another_is_put_in_its_place(path, taken, monkeypatch):
    refused, copy = [], index.restore.copy_whole

    def copy_while_somebody_comes(backup, part):
        for settings in (index.connection._SETTINGS | {"busy_timeout": 20},):
            monkeypatch.setattr(index.connection, "_SETTINGS", settings)
        with pytest.raises(GalleryBusy) as error:
            connect(path)
        refused.append(error)
        copy(backup, part)

    monkeypatch.setattr(index.restore, "copy_whole", copy_while_somebody_comes)
    restore(taken, path, NOON, force=True)
    assert len(refused) == 1


def test_who_waited_meanwhile_has_the_store_that_was_put_in_its_place(path, taken, monkeypatch):
    """As it does when its wait ends: SQLite opened the file that was there before."""
    waiting, placed, found = threading.Event(), threading.Event(), []
    connected = index.connection._connected

    def wait(place):
        connection = connected(place)
        if not waiting.is_set():
            waiting.set()
            assert placed.wait(60)
        return connection

    def open_it():
        with closing(connect(path)) as connection:
            found.append(connection.execute("SELECT count(*) FROM audit WHERE action = 'restore'").fetchone()[0])

    other = path.with_name("other")
    restore(taken, other, NOON)
    monkeypatch.setattr(index.connection, "_connected", wait)
    opening = threading.Thread(target=open_it)
    opening.start()
    assert waiting.wait(60)
    other.replace(path)
    placed.set()
    opening.join()
    assert found == [1]


def test_a_claim_ends_with_its_connection(path, taken):
    with closing(connect(path)) as connection:
        claim(connection, path)
    with open_gallery(path) as gallery:
        gallery.enrol("ada", templates(NORTH), space=SPACE)
    done = restore(taken, path, NOON, force=True)
    assert done.log_went_on
    assert done.replaced is not None
    with open_gallery(done.replaced) as kept:
        assert [subject.subject_id for subject in kept.subjects(9)] == ["ada", "bob"]
    assert {file.name for file in path.parent.iterdir()} == {path.name, folder_of(path).name}


def test_a_restored_store_is_as_private_as_the_one_it_replaces(path, taken):
    path.chmod(0o600)
    taken.chmod(0o644)
    restore(taken, path, NOON, force=True)
    assert path.stat().st_mode & 0o777 == 0o600
