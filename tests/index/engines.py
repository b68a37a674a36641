"""Every engine that finds the nearest rows exactly, for the suites that all of them have to pass."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import pytest

from faces.errors import DeviceUnavailable
from index.device import engine_on
from index.gpu import GpuScanner
from index.scan import MULTIPLIERS, Scanner
from index.store import Engine
from tests.index.fake_gpu import FakeGpus


def in_int8() -> Engine:
    pytest.importorskip("numkong")
    return Scanner(2, MULTIPLIERS["int8"])


def on_gpus() -> Engine:
    """The real ones; where there are none, the test is skipped with the reason."""
    try:
        return engine_on("cuda")
    except DeviceUnavailable as error:
        pytest.skip(f"no GPU to test: {error.what}")


ENGINES: Final[Mapping[str, Callable[[], Engine]]] = MappingProxyType(
    {
        "int8": in_int8,
        "float32": lambda: Scanner(2, MULTIPLIERS["float32"]),
        "cuda": on_gpus,
        "stand-in for cuda": lambda: GpuScanner(range(3), FakeGpus(3)),
    }
)
