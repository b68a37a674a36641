"""The rebuilt networks against their definition in plain NumPy, with drawn weights."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import faces.weights.mtcnn
from faces.errors import WeightsMissing, WeightsUnreadable
from faces.runtime import load_network
from faces.weights.mtcnn import VOID, onet_onnx, pnet_onnx, read_mtcnn_weights, rnet_onnx

SHAPES = {
    "pnet": {"conv1": (10, 3, 3, 3), "conv2": (16, 10, 3, 3), "conv3": (32, 16, 3, 3)}
    | {"conv4_1": (2, 32, 1, 1), "conv4_2": (4, 32, 1, 1)},
    "rnet": {"conv1": (28, 3, 3, 3), "conv2": (48, 28, 3, 3), "conv3": (64, 48, 2, 2)}
    | {"dense4": (128, 576), "dense5_1": (2, 128), "dense5_2": (4, 128)},
    "onet": {"conv1": (32, 3, 3, 3), "conv2": (64, 32, 3, 3), "conv3": (64, 64, 3, 3), "conv4": (128, 64, 2, 2)}
    | {"dense5": (256, 1152), "dense6_1": (2, 256), "dense6_2": (4, 256), "dense6_3": (10, 256)},
}


def drawn(stage):
    """Weights of the right shapes that keep activations near 1; slopes of both signs, as the real ones have."""
    draw = np.random.default_rng(len(stage) + ord(stage[0]))
    weights = {}
    for layer, shape in SHAPES[stage].items():
        weights[f"{layer}.weight"] = draw.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
        weights[f"{layer}.bias"] = draw.standard_normal(shape[0])
        if "_" not in layer:
            weights[f"prelu{layer[-1]}.weight"] = draw.uniform(-1, 1, shape[0])
    return {name: values.astype(np.float32) for name, values in weights.items()}


class Naive:
    """The layers of facenet_pytorch/models/mtcnn.py on one image: (channels, height, width), float64."""

    def __init__(self, weights):
        self.weights = {name: values.astype(np.float64) for name, values in weights.items()}

    def convolution(self, value, layer):
        kernel = self.weights[f"{layer}.weight"]
        windows = np.lib.stride_tricks.sliding_window_view(value, kernel.shape[2:], axis=(1, 2))
        return np.einsum("cyxhw,ochw->oyx", windows, kernel) + self.weights[f"{layer}.bias"][:, None, None]

    def prelu(self, value, number):
        slopes = self.weights[f"prelu{number}.weight"].reshape(-1, *[1] * (value.ndim - 1))
        return np.where(value > 0, value, slopes * value)

    def stem(self, pixels, kernels):
        """Convolution, PReLU and, where a kernel is given, max pooling with stride 2 that keeps parts of windows."""
        value = (pixels.transpose(2, 0, 1) - 127.5) * 0.0078125
        for number, kernel in enumerate(kernels, start=1):
            value = self.prelu(self.convolution(value, f"conv{number}"), number)
            value = ceil_max_pool(value, kernel) if kernel else value
        return value

    def dense(self, value, layer):
        return self.weights[f"{layer}.weight"] @ value + self.weights[f"{layer}.bias"]

    def pnet(self, pixels):
        value = self.stem(pixels, (2, None, None))
        return softmax(self.convolution(value, "conv4_1"))[1], self.convolution(value, "conv4_2")

    def rnet(self, pixels):
        value = self.stem(pixels, (3, 3, None)).transpose(2, 1, 0).ravel()
        value = self.prelu(self.dense(value, "dense4"), 4)
        return softmax(self.dense(value, "dense5_1"))[1:], self.dense(value, "dense5_2")

    def onet(self, pixels):
        value = self.stem(pixels, (3, 3, 2, None)).transpose(2, 1, 0).ravel()
        value = self.prelu(self.dense(value, "dense5"), 5)
        return softmax(self.dense(value, "dense6_1"))[1:], self.dense(value, "dense6_2"), self.dense(value, "dense6_3")


def ceil_max_pool(value, kernel):
    height, width = (math.ceil((side - kernel) / 2) + 1 for side in value.shape[1:])
    parts = [[value[:, 2 * i : 2 * i + kernel, 2 * j : 2 * j + kernel] for j in range(width)] for i in range(height)]
    return np.stack([np.stack([part.max(axis=(1, 2)) for part in row], axis=1) for row in parts], axis=1)


def softmax(values):
    powers = np.exp(values - values.max(axis=0))
    return powers / powers.sum(axis=0)


@pytest.fixture
def load(tmp_path):
    def from_bytes(model):
        (tmp_path / "network.onnx").write_bytes(model)
        return load_network(tmp_path / "network.onnx", threads=1)

    return from_bytes


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)


@pytest.mark.parametrize(("stage", "build", "size"), [("rnet", rnet_onnx, 24), ("onet", onet_onnx, 48)])
def test_the_later_networks_answer_as_their_definition_does(load, stage, build, size):
    weights, crops = drawn(stage), pixels(3, size, size, 3)
    answers = load(build(weights, batch=3)).run(crops)
    expected = [getattr(Naive(weights), stage)(crop) for crop in crops]
    for found, each in zip(answers, zip(*expected, strict=True), strict=True):
        assert_allclose(found, each, atol=2e-5)


def test_pictures_side_by_side_on_a_canvas_do_not_disturb_one_another(load):
    """The pooling of the original keeps half a window at the end of an odd picture: so it must at the end of each."""
    weights, canvas = drawn("pnet"), np.full((1, 40, 60, 4), VOID, dtype=np.float32)
    canvas[..., :3] = 255.0  # what an earlier picture may have left there
    pictures = {
        (0, 0): pixels(21, 23, 3),
        (0, 24): pixels(40, 17, 3),
        (22, 0): pixels(12, 13, 3),
        (22, 42): pixels(18, 18, 3),
    }
    for (y, x), picture in pictures.items():
        canvas[0, y : y + picture.shape[0], x : x + picture.shape[1]] = np.dstack(
            [picture, np.zeros(picture.shape[:2])]
        )
    scores, offsets = load(pnet_onnx(weights, 40, 60)).run(canvas)
    for (y, x), picture in pictures.items():
        score, offset = Naive(weights).pnet(picture)
        rows, columns = slice(y // 2, y // 2 + score.shape[0]), slice(x // 2, x // 2 + score.shape[1])
        assert_allclose(scores[0, 0, rows, columns], score, atol=2e-5)
        assert_allclose(offsets[0, :, rows, columns], offset, atol=2e-5)


@pytest.mark.parametrize("stage", SHAPES)
def test_the_installed_weights_have_every_layer(stage):
    weights = read_mtcnn_weights(stage)
    kernels = {name.removesuffix(".weight"): values.shape for name, values in weights.items() if values.ndim > 1}
    assert kernels == SHAPES[stage]
    assert weights.keys() == drawn(stage).keys()
    assert all(values.dtype == np.float32 and np.isfinite(values).all() for values in weights.values())


def test_a_package_that_is_not_there_is_an_error_with_the_exact_command(monkeypatch):
    monkeypatch.setattr(faces.weights.mtcnn, "_PACKAGE", "no-such-package")
    with pytest.raises(WeightsMissing) as error:
        read_mtcnn_weights("pnet")
    assert str(error.value) == (
        "the weights come with the package no-such-package, which is not installed: 'pnet.pt'. "
        "Run: pip install --no-deps facenet-pytorch==2.6.0"
    )


def test_a_changed_weight_file_is_refused_before_it_is_read(monkeypatch, tmp_path):
    (tmp_path / "pnet.pt").write_bytes(b"cos\nsystem\n(S'exit'\ntR.")
    monkeypatch.setattr(faces.weights.mtcnn, "installed_file", lambda *_: tmp_path / "pnet.pt")
    with pytest.raises(WeightsUnreadable, match="not the published MTCNN weights"):
        read_mtcnn_weights("pnet")
