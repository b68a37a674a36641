"""Where a gallery is searched: on the processor or on GPUs, by name."""

import ctypes
import logging
from collections.abc import Callable
from typing import Any, Final, Literal

import faiss

from faces.errors import DeviceUnavailable
from index.gpu import GpuScanner
from index.scan import Scanner
from index.store import Engine

Device = Literal["auto", "cpu", "cuda"]
"""auto: the GPUs, where faiss-gpu is installed and finds one, else the processor."""

DEVICES: Final[tuple[Device, ...]] = ("auto", "cpu", "cuda")

_LOG: Final = logging.getLogger(__name__)
_REMEDY: Final = "Search with --device cpu, or see docs/operate.md on GPUs."
_OLDEST: Final = 12_000  # of the driver's CUDA, 12.0: what faiss-gpu is built for
_NO_DEVICE: Final = 100  # CUDA_ERROR_NO_DEVICE


def engine_on(device: Device) -> Engine:
    """What searches there. Raises DeviceUnavailable with the reason when GPUs are asked for and there are none."""
    if device == "cpu":
        return Scanner()
    try:
        return GpuScanner(range(gpus()))
    except DeviceUnavailable as error:
        if device == "cuda":
            raise
        level = logging.WARNING if _is_for_gpus(faiss) else logging.DEBUG  # who installed it expects to use it
        _LOG.log(level, "searching on the processor: %s", error.what)
        return Scanner()


def require_driver(load: Callable[[str], Any] = ctypes.CDLL) -> None:
    """Raises DeviceUnavailable with the reason, where FAISS would give none, or end the process.

    load: opens a shared library.
    """
    try:
        driver = load("libcuda.so.1")
    except OSError:
        raise _unavailable("there is no NVIDIA driver") from None
    if failed := driver.cuInit(0):
        reason = "no GPU" if failed == _NO_DEVICE else f"no answer from the driver but error {failed}"
        raise _unavailable(f"there is {reason}")
    version = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    if version.value < _OLDEST:
        raise _unavailable(f"the NVIDIA driver is too old: its CUDA is {version.value / 1000:g}, not 12 or later")


def gpus(library: Any = faiss, driver: Callable[[], None] = require_driver) -> int:
    """How many GPUs FAISS can use, at least one. Raises DeviceUnavailable.

    library: the module faiss, of faiss-cpu or of faiss-gpu.
    """
    if not _is_for_gpus(library):
        raise _unavailable("faiss-cpu is installed, not faiss-gpu")
    driver()
    count = int(library.get_num_gpus())
    if not count:
        raise _unavailable("there is no GPU")
    return count


def _is_for_gpus(library: Any) -> bool:
    return hasattr(library, "StandardGpuResources")


def _unavailable(reason: str) -> DeviceUnavailable:
    return DeviceUnavailable(reason, "cuda", _REMEDY)
