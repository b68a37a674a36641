"""One thread writes: jobs share commits, and none is hurt by its neighbours."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from index.connection import connect
from index.errors import GalleryBusy, GalleryUnavailable
from index.gallery import create_gallery
from index.writer import MOST_AT_ONCE, Writer
from tests.index.fakes import SPACE


@pytest.fixture
def file(path: Path) -> Path:
    """A store with a table of numbers."""
    create_gallery(path, SPACE).close()
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE numbers (number INTEGER)")
    return path


@pytest.fixture
def writer(file: Path):
    made = Writer(file)
    yield made
    made.close()


def put(number):
    return lambda connection: connection.execute("INSERT INTO numbers VALUES (?)", (number,)).lastrowid


def fail(_connection):
    raise ValueError("not this one")


def numbers(file: Path) -> list[int]:
    with closing(connect(file)) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM numbers ORDER BY number")]


class Held:
    """The writer's thread, kept busy until `release`, so that what is submitted meanwhile waits."""

    def __init__(self, writer: Writer) -> None:
        self._released, started = threading.Event(), threading.Event()

        def wait(_connection: sqlite3.Connection) -> None:
            started.set()
            self._released.wait()

        self._future = writer.submit_alone(wait)
        started.wait()

    def release(self) -> None:
        self._released.set()
        self._future.result()


def test_a_job_is_durable_when_its_future_has_a_result(writer, file):
    assert writer.submit(put(7)).result() == 1
    assert numbers(file) == [7]


def test_jobs_that_wait_share_a_commit(writer, file):
    held = Held(writer)
    statements: list[str] = []
    writer._connection.set_trace_callback(statements.append)
    futures = [writer.submit(put(number)) for number in range(MOST_AT_ONCE + 1)]
    held.release()
    assert [future.result() for future in futures] == list(range(1, MOST_AT_ONCE + 2))
    assert statements.count("COMMIT") == 2
    assert numbers(file) == list(range(MOST_AT_ONCE + 1))


def test_what_nobody_waits_for_goes_with_the_first_that_somebody_does(writer, file, monkeypatch):
    monkeypatch.setattr("index.writer.GATHERED", 3600.0)
    statements: list[str] = []
    writer._connection.set_trace_callback(statements.append)
    early = [writer.submit(put(number), awaited=False) for number in (1, 2)]
    assert not any(future.done() for future in early)
    writer.submit(put(3)).result()
    assert all(future.done() for future in early)
    assert numbers(file) == [1, 2, 3]
    assert statements.count("COMMIT") == 1


def test_what_nobody_waits_for_is_written_soon_and_by_itself(writer, file):
    futures = [writer.submit(put(number), awaited=False) for number in (1, 2)]
    assert [future.result(60) for future in futures] == [1, 2]
    assert numbers(file) == [1, 2]


def test_what_gathers_is_written_before_the_writer_closes(file, monkeypatch):
    monkeypatch.setattr("index.writer.GATHERED", 3600.0)
    writer = Writer(file)
    writer.submit(put(1), awaited=False)
    writer.close()
    assert numbers(file) == [1]


def test_a_job_that_fails_takes_nothing_of_its_neighbours_with_it(writer, file):
    def half(connection: sqlite3.Connection) -> None:
        put(100)(connection)
        fail(connection)

    held = Held(writer)
    before, failing, after = writer.submit(put(1)), writer.submit(half), writer.submit(put(2))
    held.release()
    before.result()
    after.result()
    with pytest.raises(ValueError, match="not this one"):
        failing.result()
    assert numbers(file) == [1, 2]


def test_a_job_that_fills_the_disk_lets_the_others_through(writer, file):
    def limit(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}").close()

    def huge(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO numbers VALUES (zeroblob(10000000))")

    writer.submit_alone(limit).result()
    held = Held(writer)
    before, failing, after = writer.submit(put(1)), writer.submit(huge), writer.submit(put(2))
    held.release()
    before.result()
    after.result()
    with pytest.raises(GalleryUnavailable, match="disk is full"):
        failing.result()
    assert numbers(file) == [1, 2]


def test_an_error_of_the_disk_reaches_everybody_in_the_commit_and_the_next_is_tried_afresh(writer, file):
    def broken(_connection: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    held, before = Held(writer), writer._connection
    futures = [writer.submit(put(1)), writer.submit(broken), writer.submit(put(2))]
    held.release()
    for future in futures:
        with pytest.raises(GalleryUnavailable, match="disk I/O error"):
            future.result()
    writer.submit(put(3)).result()
    assert numbers(file) == [3]
    assert writer._connection is not before


def test_another_process_that_keeps_writing_is_an_error_for_all_who_wait(writer, file):
    writer.submit_alone(lambda connection: connection.execute("PRAGMA busy_timeout = 20").close()).result()
    with closing(connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        held = Held(writer)
        futures = [writer.submit(put(1)), writer.submit(put(2))]
        held.release()
        for future in futures:
            with pytest.raises(GalleryBusy):
                future.result()
    writer.submit(put(3)).result()
    assert numbers(file) == [3]


def test_many_threads_write_at_once_and_every_answer_is_their_own(writer, file):
    with ThreadPoolExecutor(16) as pool:
        rows = list(pool.map(lambda number: writer.submit(put(number)).result(), range(300)))
    assert sorted(rows) == list(range(1, 301))
    assert numbers(file) == list(range(300))


def test_what_was_submitted_is_done_before_the_writer_closes(file):
    writer = Writer(file)
    held = Held(writer)
    future = writer.submit(put(1))
    held.release()
    writer.close()
    assert future.result() == 1
    with pytest.raises(GalleryUnavailable, match="closed"):
        writer.submit(put(2))
