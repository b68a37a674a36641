"""Fixtures that every package's tests share."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("HEIRLOOM_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photos, protocols and references beside the checkout."""
    if not (SHARED / "data" / "README.md").is_file():
        pytest.skip("needs the real photos in ../shared (or HEIRLOOM_SHARED)")
    return SHARED
