"""Fixtures that every package's tests share."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("HEIRLOOM_SHARED", Path(__file__).parents[2] / "shared"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not os.environ.get("HEIRLOOM_NIGHTLY"):
        skipped = pytest.mark.skip(reason="nightly: set HEIRLOOM_NIGHTLY to run it")
        for item in items:
            if item.get_closest_marker("nightly"):
                item.add_marker(skipped)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photos, protocols and references beside the checkout."""
    if not (SHARED / "data" / "README.md").is_file():
        pytest.skip("needs the real photos in ../shared (or HEIRLOOM_SHARED)")
    return SHARED
