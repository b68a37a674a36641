"""PyTorch's legacy state dicts: what is read, and that nothing else in them is run."""

import collections
import contextlib
import io
import os
import pickle
import re
import struct
import sys
import types

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from faces.errors import WeightsUnreadable
from faces.weights.torch_pickle import read_state_dict

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class FloatStorage:
    """Pickled under torch's name; never run."""


class LongStorage(FloatStorage):
    pass


def _rebuild_tensor_v2(*arguments):
    raise AssertionError(f"only its name is pickled, but it was called with {arguments}")


class Tensor:
    """What `torch.save` writes for a view into a storage."""

    def __init__(self, key, values, offset, shape, strides, kind=FloatStorage):
        self.storage, self.values, self.kind = key, values, kind
        self.view = (offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return _rebuild_tensor_v2, (Reference(self), *self.view)


class Reference:
    def __init__(self, tensor):
        self.tensor = tensor


@pytest.fixture(autouse=True)
def torch_by_name(monkeypatch):
    """Modules of torch's names while a test file is written, whether or not torch is installed."""
    for name, members in {"torch": [FloatStorage, LongStorage], "torch._utils": [_rebuild_tensor_v2]}.items():
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        for member in members:
            monkeypatch.setattr(member, "__module__", name)
            setattr(module, member.__name__, member)


def legacy(tensors, *, magic=MAGIC, protocol=PROTOCOL, tail=b"", pickled=None):
    class Writer(pickle.Pickler):
        def persistent_id(self, thing):
            if isinstance(thing, Reference):
                return ("storage", thing.tensor.kind, thing.tensor.storage, "cpu", len(thing.tensor.values), None)
            return None

    file = io.BytesIO()
    storages = {tensor.storage: tensor.values for tensor in tensors.values()}
    machine = {"protocol_version": PROTOCOL, "little_endian": True}
    for part in (magic, protocol, machine, tensors if pickled is None else pickled, list(storages)):
        Writer(file, protocol=2).dump(part)
    for values in storages.values():
        file.write(struct.pack("<q", len(values)) + values.tobytes())
    return file.getvalue() + tail


ROW = np.arange(6, dtype="<f4")


@pytest.fixture
def read(tmp_path):
    def from_bytes(data):
        path = tmp_path / "weights.pt"
        path.write_bytes(data)
        return read_state_dict(path)

    return from_bytes


def test_every_tensor_by_name_in_its_shape(read):
    found = read(
        legacy({"a.weight": Tensor("1", ROW, 0, (2, 3), (3, 1)), "a.bias": Tensor("2", ROW * 2, 0, (6,), (1,))})
    )
    assert list(found) == ["a.weight", "a.bias"]
    assert_array_equal(found["a.weight"], [[0, 1, 2], [3, 4, 5]])
    assert_array_equal(found["a.bias"], ROW * 2)
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}


def test_views_with_offsets_and_strides_share_a_storage(read):
    found = read(legacy({"transposed": Tensor("1", ROW, 0, (3, 2), (1, 3)), "end": Tensor("1", ROW, 4, (2,), (1,))}))
    assert_array_equal(found["transposed"], [[0, 3], [1, 4], [2, 5]])
    assert_array_equal(found["end"], [4, 5])


def test_whole_numbers_become_floats(read):
    tensor = Tensor("1", np.array([7, -1], dtype="<i8"), 0, (2,), (1,), kind=LongStorage)
    assert_array_equal(read(legacy({"steps": tensor}))["steps"], np.array([7, -1], np.float32))


class Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize(
    ("function", "name"), [(os.mkdir, "posix.mkdir"), (eval, "__builtin__.eval"), (open, "io.open")]
)
def test_a_file_that_asks_for_any_other_function_is_refused_and_the_function_not_called(read, tmp_path, function, name):
    data = legacy({}, pickled={"weight": Call(function, str(tmp_path / "made"))})
    with pytest.raises(WeightsUnreadable, match=re.escape(f"not a PyTorch state dict (it asks for {name})")):
        read(data)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(lambda t: legacy(t, magic=1), "not PyTorch's legacy format", id="another magic number"),
        pytest.param(lambda t: legacy(t, protocol=1002), "not PyTorch's legacy format", id="another protocol"),
        pytest.param(lambda t: legacy(t, tail=b"more"), "4 bytes after the last storage", id="more at the end"),
        pytest.param(lambda t: legacy(t)[:-1], "buffer is smaller", id="cut short"),
        pytest.param(lambda _: b"", "Ran out of input", id="empty"),
        pytest.param(lambda _: b"PK\x03\x04zip", "", id="the format since 1.6"),
    ],
)
def test_what_is_no_legacy_state_dict_is_refused(read, data, reason, tmp_path):
    with pytest.raises(WeightsUnreadable) as error:
        read(data({"weight": Tensor("1", ROW, 0, (6,), (1,))}))
    assert reason in error.value.what
    assert error.value.value == str(tmp_path / "weights.pt")


@pytest.mark.parametrize(
    ("offset", "shape", "strides"), [(1, (6,), (1,)), (-1, (2,), (1,)), (0, (2, 3), (6, 1)), (0, (6,), (-1,))]
)
def test_a_tensor_that_leaves_its_storage_is_refused(read, offset, shape, strides):
    with pytest.raises(WeightsUnreadable, match="leaves its storage of 6"):
        read(legacy({"weight": Tensor("1", ROW, offset, shape, strides)}))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_damaged_file_gives_tensors_or_the_one_error(read, changes):
    data = bytearray(legacy({"weight": Tensor("1", ROW, 0, (2, 3), (3, 1))}))
    for at, value in changes:
        data[at % len(data)] = value
    with contextlib.suppress(WeightsUnreadable):
        assert all(isinstance(values, np.ndarray) for values in read(bytes(data)).values())
