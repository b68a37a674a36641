"""A device that was asked for is there, or the reason is told; `auto` takes what there is."""

import ctypes
import logging

import faiss
import pytest

from faces.errors import DeviceUnavailable
from index import device
from index.device import engine_on, gpus, require_driver
from index.gpu import GpuScanner
from index.scan import Scanner
from tests.index.fake_gpu import FakeGpus

IN_ORDER = lambda: None  # noqa: E731 - a driver that has nothing to complain of


class Driver:
    """What is asked of NVIDIA's libcuda."""

    def __init__(self, failed: int = 0, version: int = 12_060) -> None:
        self._failed, self._version = failed, version

    def cuInit(self, flags: int) -> int:  # noqa: N802 - NVIDIA's name
        assert flags == 0
        return self._failed

    def cuDriverGetVersion(self, to: ctypes.Array) -> int:  # noqa: N802
        to._obj.value = self._version
        return 0


def test_faiss_of_the_processor_has_no_gpus():
    if hasattr(faiss, "StandardGpuResources"):
        pytest.skip("faiss-gpu is installed")
    with pytest.raises(DeviceUnavailable, match="faiss-cpu is installed"):
        engine_on("cuda")


@pytest.mark.parametrize(("library", "level"), [(object(), "DEBUG"), (FakeGpus(0), "WARNING")])
def test_without_a_gpu_auto_is_the_processor_and_warns_who_installed_faiss_for_gpus(
    monkeypatch, caplog, library, level
):
    monkeypatch.setattr(device, "faiss", library)
    monkeypatch.setattr(device, "gpus", lambda: gpus(library, IN_ORDER))
    with caplog.at_level(logging.DEBUG, "index.device"):
        assert isinstance(engine_on("auto"), Scanner)
    assert [record.levelname for record in caplog.records] == [level]


def test_without_a_gpu_cuda_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr(device, "gpus", lambda: gpus(FakeGpus(0), IN_ORDER))
    with pytest.raises(DeviceUnavailable, match="there is no GPU"):
        engine_on("cuda")


@pytest.mark.parametrize("asked", ["auto", "cuda"])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch, asked):
    monkeypatch.setattr(device, "gpus", lambda: gpus(FakeGpus(2), IN_ORDER))
    engine = engine_on(asked)
    engine.close()
    assert isinstance(engine, GpuScanner)


def test_the_processor_is_taken_when_asked_for_whatever_there_is(monkeypatch):
    monkeypatch.setattr(device, "gpus", lambda: gpus(FakeGpus(2), IN_ORDER))
    assert isinstance(engine_on("cpu"), Scanner)


def test_a_driver_that_works_is_no_reason_to_complain():
    require_driver(lambda _: Driver())


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (Driver(failed=100), "there is no GPU"),
        (Driver(failed=803), "error 803"),
        (Driver(version=11_080), "too old: its CUDA is 11.08"),
    ],
)
def test_a_driver_that_faiss_would_not_survive_is_told(driver, reason):
    with pytest.raises(DeviceUnavailable, match=reason):
        require_driver(lambda _: driver)


def test_a_missing_driver_is_told():
    def missing(name: str) -> object:
        raise OSError(name)

    with pytest.raises(DeviceUnavailable, match="no NVIDIA driver"):
        require_driver(missing)
