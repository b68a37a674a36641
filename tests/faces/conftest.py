"""What the tests of `faces` share."""

import pytest

from faces.detect import Detector, open_detector


@pytest.fixture(scope="session")
def detector() -> Detector:
    """The real one."""
    return open_detector(threads=1)
