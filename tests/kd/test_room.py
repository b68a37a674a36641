"""A disk without room for what is prepared is said in words, before anything is written; nothing half-made stays."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from kd.adapt import adapt
from kd.config import Adaptation, AdaptConfig
from kd.data.people import prepare_people
from kd.data.room import reserved
from kd.distil import distil
from kd.errors import DataUnwritable
from tests.app.parts import OTHER_SPACE, write_model

KIND = np.dtype([("row", np.float16, 8), ("kept", np.bool_)])
WITHOUT_ROOM = r"cannot keep what was prepared \(No space left on device\): '.*'\. Make room"


@pytest.fixture
def full(monkeypatch):
    """A disk without room for files of some name, told by Linux."""

    def without_room_for(name):
        given = os.posix_fallocate

        def promise(handle, start, size):
            if Path(f"/proc/self/fd/{handle}").readlink().name.startswith(name):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            given(handle, start, size)

        monkeypatch.setattr(os, "posix_fallocate", promise)

    return without_room_for


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_reserved_array_has_all_of_its_room_and_zeros(tmp_path):
    array = reserved(tmp_path / "rows.npy", (64, 512), KIND)
    assert (array.shape, array.dtype, array["kept"].any()) == ((64, 512), KIND, False)
    assert (tmp_path / "rows.npy").stat().st_blocks * 512 >= array.nbytes
    array["kept"][3, 4] = True
    assert np.load(tmp_path / "rows.npy")["kept"].sum() == 1


@pytest.mark.parametrize("unable", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_promises_no_room_is_written_all_the_same(tmp_path, monkeypatch, unable):
    def promise(*_):
        raise OSError(unable, os.strerror(unable))

    monkeypatch.setattr(os, "posix_fallocate", promise)
    assert reserved(tmp_path / "rows.npy", (2, 3), KIND).shape == (2, 3)


def test_so_is_one_of_a_system_that_knows_no_promise(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    assert reserved(tmp_path / "rows.npy", (2, 3), KIND).shape == (2, 3)


def test_faces_without_room_are_said_and_those_kept_before_stay(people, full, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(people, photos)
    prepare_people([photos], tmp_path / "data", lambda: None)
    shutil.copytree(photos / "person-0", photos / "newcomer")
    before = {name: (tmp_path / "data" / name).read_bytes() for name in files(tmp_path / "data")}
    full("crops.npy")
    with pytest.raises(DataUnwritable, match=WITHOUT_ROOM):
        prepare_people([photos], tmp_path / "data", lambda: None)
    assert {name: (tmp_path / "data" / name).read_bytes() for name in files(tmp_path / "data")} == before
    assert files(tmp_path) == ["data", "photos"]


def test_answers_without_room_are_said_and_the_next_start_begins_them(config, full, tmp_path, monkeypatch):
    full("targets-")
    with pytest.raises(DataUnwritable, match=WITHOUT_ROOM):
        distil(config(epochs=1), tmp_path / "run", tell=print)
    assert files(tmp_path / "run" / "data") == ["class-means.npz", "crops.npy", "people.json"]
    monkeypatch.undo()
    distil(config(epochs=1), tmp_path / "run", tell=print)


def test_so_are_the_rows_of_an_adapter(config, full, tmp_path):
    base = config(method="cosine", epochs=1)
    newer = write_model(tmp_path / "newer", space=OTHER_SPACE, noise=1.0)
    head = Adaptation(str(newer), "embedding", 0, 0.0)
    full("rows-")
    settings = AdaptConfig(base.photos, head, base.distillation, base.viewing, base.optimisation)
    with pytest.raises(DataUnwritable, match=WITHOUT_ROOM):
        adapt(settings, tmp_path / "run", tell=print)
    assert files(tmp_path / "run" / "data") == ["class-means.npz", "crops.npy", "people.json"]


def test_a_folder_that_cannot_be_made_is_said(people, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataUnwritable, match=r"cannot keep what was prepared \(Not a directory\)"):
        prepare_people([people], tmp_path / "file" / "data", lambda: None)
