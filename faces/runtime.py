"""The one place that knows OpenVINO and ONNX Runtime."""

import functools
import os
import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from faces.errors import DeviceUnavailable, WeightsUnreadable

Device = Literal["cpu", "cuda"]
Floats = NDArray[np.float32]


class Network(Protocol):
    """A loaded ONNX model. Safe to call from several threads at once."""

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> Mapping[str, tuple[int | None, ...]]:
        """Name -> shape; None where a size may vary."""
        ...

    def run(self, batch: Floats) -> list[Floats]:
        """Every output, in the model's order, for one batch on its only input."""
        ...


def load_network(model: Path, *, device: Device = "cpu", threads: int | None = None) -> Network:
    """Open an ONNX file for inference.

    threads: cores one call may use; None means all of this process.
    Raises DeviceUnavailable when the device is not there (never falls back to another), WeightsUnreadable when the
    file does not open as an ONNX model.
    """
    return _LOADERS[device](model, threads or len(os.sched_getaffinity(0)))


@dataclass(frozen=True, slots=True)
class RuntimeFacts:
    """What computes on this machine's processor."""

    name: str
    version: str
    processor: str
    capabilities: tuple[str, ...]
    """FP32, BF16, INT8, …: what the processor does in hardware; networks run in FP32 whatever stands here."""


def runtime_facts() -> RuntimeFacts:
    """Raises DeviceUnavailable when the runtime does not load, or has no processor to run on."""
    try:
        core = _core()
        version = core.get_versions("CPU")["CPU"].build_number.partition("-")[0]
        processor = core.get_property("CPU", "FULL_DEVICE_NAME")
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except (ImportError, RuntimeError) as error:
        raise DeviceUnavailable("OpenVINO does not start", "cpu", f"Install it again: {_first_line(error)}.") from None
    return RuntimeFacts("OpenVINO", version, processor.strip(), tuple(capabilities))


def run_in_batches(network: Network, rows: Floats) -> list[Floats]:
    """Every output for any number of rows, at least one; a network built for one size of batch is given no other."""
    ((batch, *_),) = network.inputs.values()
    if batch is None:
        return network.run(rows)
    answers = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        filling = np.zeros((batch - len(part), *part.shape[1:]), dtype=np.float32)
        answers.append(network.run(np.concatenate([part, filling])))
    return [np.concatenate(parts)[: len(rows)] for parts in zip(*answers, strict=True)]


@functools.cache
def _core() -> Any:
    """One for the whole process, and never closed.

    OpenVINO gives the thread that opens a Core another stack for signal handlers and takes it away with the Core; of
    several closed in another order than they were opened, one leaves a stack that is no longer there, and the next
    Ctrl-C is a segmentation fault.
    """
    import openvino

    return openvino.Core()


class _OpenVino:
    """Fp32 throughout: by itself OpenVINO would answer in bf16 on processors that have it, with other scores."""

    def __init__(self, model: Path, threads: int) -> None:
        core = _core()
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,  # networks of one thread would all have the same core, in every process
        }
        try:
            self._compiled = core.compile_model(core.read_model(model), "CPU", options)
        except RuntimeError as error:
            raise _unreadable(model, error) from None
        self.name = model.stem
        self.inputs = {
            port.any_name: tuple(None if size.is_dynamic else size.get_length() for size in port.partial_shape)
            for port in self._compiled.inputs
        }
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()

    def run(self, batch: Floats) -> list[Floats]:
        try:
            request = self._idle.get_nowait()  # a request serves one call at a time
        except queue.Empty:
            request = self._compiled.create_infer_request()
        try:
            results = request.infer([batch], share_inputs=True)
            return [np.array(values, dtype=np.float32) for values in results.values()]
        finally:
            self._idle.put(request)


class _OnnxRuntimeCuda:
    def __init__(self, model: Path, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise DeviceUnavailable("ONNX Runtime is not installed", "cuda", _GPU_REMEDY) from None
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise DeviceUnavailable("this ONNX Runtime has no CUDA", "cuda", _GPU_REMEDY)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CUDAExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - onnxruntime raises a class of its own per status code
            raise _unreadable(model, error) from None
        if "CUDAExecutionProvider" not in self._session.get_providers():
            raise DeviceUnavailable("CUDA does not start on this machine", "cuda", _GPU_REMEDY)
        self.name = model.stem
        self.inputs = {
            port.name: tuple(size if isinstance(size, int) else None for size in port.shape)
            for port in self._session.get_inputs()
        }

    def run(self, batch: Floats) -> list[Floats]:
        (name,) = self.inputs
        return [np.asarray(values, dtype=np.float32) for values in self._session.run(None, {name: batch})]


_GPU_REMEDY: Final = "Run make install-gpu on a machine with an NVIDIA driver, or use cpu."
_LOADERS: Final[Mapping[Device, Callable[[Path, int], Network]]] = {"cpu": _OpenVino, "cuda": _OnnxRuntimeCuda}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


def _unreadable(model: Path, error: Exception) -> WeightsUnreadable:
    reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    return WeightsUnreadable(f"does not open as an ONNX model ({reason})", str(model), "Check the file.")
