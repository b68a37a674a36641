"""Fixtures that every package's tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, so that a failure speaks of the change; `--hypothesis-profile=fresh` looks for new
# ones. Neither judges by the clock: the machine may be busy.
settings.register_profile("fresh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("fresh"), derandomize=True, database=None)
settings.load_profile("same")

SHARED = Path(os.environ.get("HEIRLOOM_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session", autouse=True)
def no_proxy() -> Iterator[None]:
    """Whoever the tests speak to is on this machine, where a proxy that the surroundings name does not reach."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photos, protocols and references beside the checkout."""
    if not (SHARED / "data" / "README.md").is_file():
        pytest.skip("needs the real photos in ../shared (or HEIRLOOM_SHARED)")
    return SHARED
