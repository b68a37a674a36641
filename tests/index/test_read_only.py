"""A read-only file system is an error that says so."""

import errno
import os
from pathlib import Path

import pytest

from faces.files import write_whole
from index.errors import GalleryUnavailable
from index.gallery import create_gallery
from tests.index.fakes import SPACE


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing and removing are refused, even of a file that is not there, as a read-only mount does."""

    def refuse(path: Path, *_arguments: object, **_options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)


@pytest.mark.usefixtures("read_only")
def test_a_gallery_cannot_be_created_there(tmp_path: Path) -> None:
    with pytest.raises(GalleryUnavailable, match=r"cannot be created \(Read-only file system\)"):
        create_gallery(tmp_path / "people.heirloom", SPACE)


@pytest.mark.usefixtures("read_only")
def test_a_file_that_does_not_land_says_why(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Read-only file system") as refusal:
        write_whole(tmp_path / "card.json", b"{}")
    assert refusal.value.__context__ is None
