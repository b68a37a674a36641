"""Files land whole or not at all."""

import os
from pathlib import Path

import pytest

from faces.files import write_whole


def test_a_new_file_and_an_old_one_hold_what_was_written(tmp_path):
    for data in (b"first", b"", b"second"):
        write_whole(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_bytes_are_on_disk_before_the_name_is(tmp_path, monkeypatch):
    """A crash between the two must leave the old file: so the order is write, sync, rename, sync the folder."""
    acts = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (acts.append("sync"), sync(descriptor)))
    monkeypatch.setattr(Path, "replace", lambda self, target: (acts.append("rename"), replace(self, target)))
    write_whole(tmp_path / "file", b"data")
    assert acts == ["sync", "rename", "sync"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_whole(tmp_path / "file", b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
