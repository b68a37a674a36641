"""A process that is in the way of an erasure or a restore is named."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from index.holders import Holder, in_words, readers, users

pytestmark = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux says who holds a lock")

OPEN = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute(sys.argv[2]); "
READ = "c.execute('SELECT * FROM notes').fetchone(); "
WAIT = "print(flush=True); sys.stdin.read()"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "notes.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = wal; CREATE TABLE notes (text); INSERT INTO notes VALUES ('a')")
    return path


@contextmanager
def another_process(path: Path, begin: str) -> Iterator[int]:
    """That opens the file, begins so, reads, and stays; its pid."""
    command = [sys.executable, "-c", OPEN + READ + WAIT, str(path), begin]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


def test_nobody_is_in_the_way_of_a_store_that_nobody_has_open(path):
    assert (readers(path), users(path)) == ([], [])


def test_a_process_that_keeps_a_read_open_is_named(path):
    with another_process(path, "BEGIN") as pid:
        (reader,) = readers(path)
        assert (reader.pid, reader.program[:6]) == (pid, "python")
        assert str(pid) in in_words([reader])
    assert readers(path) == []


def test_a_process_that_only_has_the_store_open_is_no_reader_but_a_user(path):
    with another_process(path, "SELECT 1") as pid:
        assert readers(path) == []
        assert [user.pid for user in users(path)] == [pid]


def test_several_are_all_named(path):
    with another_process(path, "BEGIN") as one, another_process(path, "BEGIN") as other:
        assert {reader.pid for reader in readers(path)} == {one, other}


def test_this_process_is_not_in_its_own_way_and_asking_costs_it_no_lock(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM notes").fetchone()
        before = own_locks(path)
        assert (readers(path), users(path)) == ([], [])
        assert own_locks(path) == before >= 2


def own_locks(path: Path) -> int:
    """How many this process has on the files of this store: `N: KIND ADVISORY MODE PID DEVICE:INODE FROM TO`."""
    inodes = {str(file.stat().st_ino) for file in path.parent.iterdir()}
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines() if " -> " not in line]
    return sum(row[4] == str(os.getpid()) and row[5].rpartition(":")[2] in inodes for row in rows)


def test_one_who_waits_for_a_lock_holds_none(path, tmp_path):
    shm = tmp_path / "notes.db-shm"
    shm.touch()
    line = (
        f"1: -> POSIX  ADVISORY  READ 1 00:00:{shm.stat().st_ino} 124 124\n2: FLOCK  ADVISORY  WRITE 1 00:00:5 0 EOF\n"
    )
    (tmp_path / "locks").write_text(line)
    assert readers(path, proc=tmp_path) == []
    (tmp_path / "locks").write_text(line.replace("-> ", ""))
    assert readers(path, proc=tmp_path) == [Holder(1, "")]


def test_a_system_that_does_not_say_is_said_to_be_so(path, tmp_path):
    assert readers(path, proc=tmp_path) is None
    assert "cannot be known" in in_words(None)
    assert "another container" in in_words([])
    assert in_words([Holder(7, "")]) == "a program that cannot be named (pid 7)"
