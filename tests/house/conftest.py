"""Fixtures for the tests of documentation and packaging: the checkout itself is what they look at."""

import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from demo.photos import PORTRAITS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def install() -> ModuleType:
    """requirements/install.py, which is a script and no part of a package."""
    return _script("install")


@pytest.fixture
def lock() -> ModuleType:
    """requirements/lock.py."""
    return _script("lock")


@pytest.fixture
def audit(install: ModuleType) -> ModuleType:
    """requirements/audit.py, which imports install.py from beside it."""
    assert install.__name__ == "install"
    return _script("audit")


@pytest.fixture(scope="session")
def portraits() -> None:
    """The photos of the demo, where the packages that bring them are installed."""
    for portrait in PORTRAITS:
        try:
            importlib.metadata.distribution(portrait.package)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"needs a photo out of {portrait.package}, which make demo installs")


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "requirements" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module
