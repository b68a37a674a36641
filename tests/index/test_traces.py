"""Bytes that are in a file of a store are found, wherever they lie; those that are in none are not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index import traces
from index.traces import WINDOW, Files, Needle, Trace, unseen

FACE = bytes(range(200))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small file has many."""
    monkeypatch.setattr(traces, "_CHUNK", 100)


def found_in(path: Path, data: bytes = FACE) -> list[str]:
    with Files(path) as files:
        return [trace.file.name for trace in files.search([Needle.of("fp16", 1, data)])]


@given(before=st.integers(0, 300), after=st.integers(0, 300))
def test_bytes_are_found_wherever_chunks_begin(tmp_path_factory, before, after):
    path = tmp_path_factory.mktemp("store") / "people.heirloom"
    path.write_bytes(bytes(before) + FACE[:WINDOW] + bytes(after))
    assert found_in(path, FACE[:WINDOW]) == [path.name]
    path.write_bytes(bytes(before) + FACE[: WINDOW - 1] + bytes(after))
    assert found_in(path, FACE[:WINDOW]) == []


@pytest.mark.parametrize("part", [FACE[:WINDOW], FACE[-WINDOW:]], ids=["beginning", "end"])
def test_what_is_left_of_a_row_is_found_by_its_beginning_or_its_end(path, part):
    path.write_bytes(b"torn:" + part)
    assert found_in(path) == [path.name]


def test_every_file_of_the_store_is_read_and_no_other(path):
    ours = ["", "-wal", "-shm", ".123.part", ".cache/a/seg.bin", ".backups/monday.heirloom"]
    others = ["2", "2-wal"]
    for ending in ours + others:
        file = Path(f"{path}{ending}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(FACE)
    assert len(found_in(path)) == len(ours)
    assert not any(name.startswith(path.name + "2") for name in found_in(path))


def test_a_name_with_the_letters_of_a_pattern_is_taken_as_it_is(tmp_path):
    for name in ("a*[b]?", "axb"):
        (tmp_path / name).write_bytes(FACE)
    assert found_in(tmp_path / "a*[b]?") == ["a*[b]?"]


def test_a_trace_says_what_of_whom_is_where(path):
    path.write_bytes(FACE)
    needles = [Needle.of("fp16", 7, FACE), Needle.of("fp16", 8, FACE[::-1])]
    with Files(path) as files:
        found = files.search(needles)
    assert found == [Trace(path, "fp16", 7)]
    assert unseen(needles, found) == [needles[1]]


def test_a_store_that_is_not_there_has_no_traces(path):
    assert found_in(path) == []


def test_windows_are_taken_where_bytes_differ():
    assert Needle.of("fp16", 1, bytes(500)).windows == ()
    (window,) = Needle.of("fp16", 1, bytes(400) + FACE[:WINDOW] + bytes(8)).windows[:1]
    assert window != bytes(WINDOW)
    assert Needle.of("codes", 1, FACE[:8]).windows == (FACE[:8],)
    assert [window[0] for window in Needle.of("fp16", 1, FACE).windows] == [0, 80, 168]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux says which files are open")
def test_descriptors_of_the_database_stay_open_to_the_end_and_no_longer(path):
    path.write_bytes(FACE)
    cached = path.with_name(path.name + ".cache")
    cached.mkdir()
    (cached / "segment").write_bytes(FACE)

    def open_files() -> set[str]:
        files = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
        return {file.name for file in files if path.parent.resolve() in file.parents}

    with Files(path) as files:
        files.search([Needle.of("fp16", 1, FACE)])
        files.search([Needle.of("fp16", 1, FACE)])
        assert open_files() == {path.name}
    assert open_files() == set()
