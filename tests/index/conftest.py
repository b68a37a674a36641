"""A gallery in a temporary folder, for the tests of `index`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.gallery import LocalGallery, create_gallery
from tests.index.fakes import SPACE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.heirloom"


@pytest.fixture
def gallery(path: Path) -> Iterator[LocalGallery]:
    with create_gallery(path, SPACE) as made:
        yield made
