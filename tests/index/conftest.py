"""A gallery in a temporary folder, for the tests of `index`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.backup import back_up
from index.gallery import LocalGallery, create_gallery
from tests.index.backed_up import NOON
from tests.index.fakes import SPACE
from tests.index.test_forget import enrol_ada


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.heirloom"


@pytest.fixture
def gallery(path: Path) -> Iterator[LocalGallery]:
    with create_gallery(path, SPACE) as made:
        yield made


@pytest.fixture
def taken(gallery: LocalGallery, path: Path) -> Path:
    """A backup with bob, ada and cy."""
    enrol_ada(gallery)
    return back_up(path, None, NOON).path
