"""Reader of PyTorch's legacy state dicts (what `torch.save` wrote before 1.6) without PyTorch.

The file is five pickles and a tail: a magic number, a protocol version, a description of the machine, the state dict
itself with a persistent id in place of each storage, the list of storage keys; then, per key, the number of elements
(int64) and the elements, little endian. Source: torch/serialization.py, `_legacy_save`.

A pickle may name any function to call. This one may name five, and none of them reads, writes or imports anything.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faces.errors import WeightsUnreadable

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001
_COUNT: Final = np.dtype("<i8")

Floats = NDArray[np.float32]


def read_state_dict(path: Path) -> dict[str, Floats]:
    """Every tensor of the file, by name. Raises WeightsUnreadable when it is not a legacy state dict of tensors."""
    data = path.read_bytes()
    file = io.BytesIO(data)
    try:
        magic, protocol, _machine, tensors, keys = (_Restricted(file).load() for _ in range(5))
        if (magic, protocol) != (_MAGIC, _PROTOCOL):
            raise _Refused("not PyTorch's legacy format")
        storages = _read_storages(data, file.tell(), keys, tensors)
        return {str(name): tensor.read(storages) for name, tensor in tensors.items()}
    except Exception as error:  # noqa: BLE001 - a damaged pickle raises whatever its opcodes stumble over
        reason = str(error) or type(error).__name__
        raise WeightsUnreadable(
            f"not a PyTorch state dict ({reason})", str(path), "Install the package it came with again."
        ) from None


class _Refused(ValueError):
    """What this reader does not accept; `read_state_dict` turns it into WeightsUnreadable."""


@dataclass(frozen=True, slots=True)
class _StorageType:
    """Inert stand-in for `torch.FloatStorage` and its like."""

    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view into a storage: offset, shape and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, storages: Mapping[str, NDArray[Any]]) -> Floats:
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if min(self.offset, last, *self.shape, *self.strides, 0) < 0 or last >= self.storage.count:
            raise _Refused(f"a tensor of shape {self.shape} that leaves its storage of {self.storage.count}")
        values = storages[self.storage.key][self.offset :]
        strides = [stride * values.itemsize for stride in self.strides]
        return np.array(np.lib.stride_tricks.as_strided(values, self.shape, strides), dtype=np.float32)


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: Sequence[int], strides: Sequence[int], *_gradients: object
) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_ALLOWED: Final[Mapping[tuple[str, str], Callable[..., Any] | _StorageType]] = MappingProxyType(
    {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch", "FloatStorage"): _StorageType(np.dtype("<f4")),
        ("torch", "DoubleStorage"): _StorageType(np.dtype("<f8")),
        ("torch", "LongStorage"): _StorageType(np.dtype("<i8")),
    }
)


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _Refused(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, reference: Any) -> _Storage:
        kind, storage_type, key, _device, count, view = reference
        if kind != "storage" or view is not None:
            raise _Refused("a storage that is a view of another")
        return _Storage(str(key), storage_type.dtype, int(count))


def _read_storages(
    data: bytes, at: int, keys: Sequence[str], tensors: Mapping[str, _Tensor]
) -> dict[str, NDArray[Any]]:
    """The elements of every storage, from byte `at` to the end of the file."""
    known = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    storages = {}
    for key in keys:
        storage = known[key]
        count = int(np.frombuffer(data, _COUNT, 1, at)[0])
        if count != storage.count:
            raise _Refused(f"storage {key} has {count} elements, expected {storage.count}")
        storages[key] = np.frombuffer(data, storage.dtype, count, at + _COUNT.itemsize)
        at += _COUNT.itemsize + count * storage.dtype.itemsize
    if at != len(data):
        raise _Refused(f"{len(data) - at} bytes after the last storage")
    return storages
