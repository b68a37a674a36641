"""MTCNN's three networks as ONNX, from the weights that facenet-pytorch was published with.

Each takes pixels as they are, (n, height, width, 3) RGB from 0 to 255: the normalisation (x - 127.5) / 128 is folded
into the first convolution, which has no padding. Source: facenet_pytorch/models/mtcnn.py, version 2.6.0; Zhang et al.,
Joint face detection and alignment using multi-task cascaded convolutional networks.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from faces.errors import WeightsUnreadable
from faces.models import installed_file
from faces.space import digest
from faces.weights.graph import Graph
from faces.weights.torch_pickle import Floats, read_state_dict

RNET_SIZE: Final = 24  # pixels
ONET_SIZE: Final = 48  # pixels
VOID: Final = np.float32(-1e9)

Stage = Literal["pnet", "rnet", "onet"]
Weights = Mapping[str, Floats]

_PACKAGE: Final = "facenet-pytorch"
_INSTALL: Final = f"pip install --no-deps {_PACKAGE}==2.6.0"
_SHA256: Final[Mapping[Stage, str]] = MappingProxyType(
    {
        "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
        "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
        "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
    }
)
_MEAN: Final = 127.5
_SCALE: Final = 128.0


def read_mtcnn_weights(stage: Stage) -> dict[str, Floats]:
    """One network's tensors, from the installed distribution, which is not imported.

    Raises WeightsMissing with the command that installs it, WeightsUnreadable when the file is not the published one.
    """
    path = installed_file(_PACKAGE, f"{stage}.pt", _INSTALL)
    if digest(path.read_bytes()) != _SHA256[stage]:
        raise WeightsUnreadable("not the published MTCNN weights", str(path), f"Run: {_INSTALL}")
    return read_state_dict(path)


def pnet_onnx(weights: Weights, height: int, width: int) -> bytes:
    """`canvas` (1, height, width, 4) -> `score` (1, 1, rows, columns), `offsets` (1, 4, rows, columns).

    A cell sees 12 × 12 pixels; neighbouring cells are 2 pixels apart. height, width: even. The canvas holds several
    pictures; its fourth channel is 0 on a picture and VOID beside it, where no maximum is taken from: the pooling of
    the original keeps half a window at the end of a picture of odd size, and so must this one at the end of each.
    """
    graph = _Builder("pnet", weights)
    image, void = graph.channels("canvas", 0, 3), graph.channels("canvas", 3, 4)
    value = graph.prelu(graph.first_convolution(image), "prelu1")
    value = graph.max_pool(graph.node("Add", value, graph.last_pixels(void, kernel=3)), 2)
    value = graph.prelu(graph.convolution(value, "conv2"), "prelu2")
    value = graph.prelu(graph.convolution(value, "conv3"), "prelu3")
    score = graph.node("Sigmoid", graph.convolution(value, "conv4_1", margin=True))
    offsets = graph.convolution(value, "conv4_2")
    rows, columns = height // 2 - 5, width // 2 - 5
    return graph.model(
        {"canvas": [1, height, width, 4]},
        {"score": (score, [1, 1, rows, columns]), "offsets": (offsets, [1, 4, rows, columns])},
    )


def rnet_onnx(weights: Weights, batch: int) -> bytes:
    """`image` (batch, 24, 24, 3) -> `score` (batch, 1), `offsets` (batch, 4)."""
    graph = _Builder("rnet", weights)
    value = graph.prelu(graph.first_convolution("image"), "prelu1")
    value = graph.max_pool(value, 3)
    value = graph.prelu(graph.convolution(value, "conv2"), "prelu2")
    value = graph.max_pool(value, 3)
    value = graph.prelu(graph.convolution(value, "conv3"), "prelu3")
    value = graph.prelu(graph.dense_after_convolution(value, "dense4", side=3), "prelu4", planes=False)
    score = graph.node("Sigmoid", graph.dense(value, "dense5_1", margin=True))
    offsets = graph.dense(value, "dense5_2")
    return graph.model(
        {"image": [batch, RNET_SIZE, RNET_SIZE, 3]}, {"score": (score, [batch, 1]), "offsets": (offsets, [batch, 4])}
    )


def onet_onnx(weights: Weights, batch: int) -> bytes:
    """`image` (batch, 48, 48, 3) -> `score` (batch, 1), `offsets` (batch, 4), `landmarks` (batch, 10), x before y."""
    graph = _Builder("onet", weights)
    value = graph.prelu(graph.first_convolution("image"), "prelu1")
    value = graph.max_pool(value, 3)
    value = graph.prelu(graph.convolution(value, "conv2"), "prelu2")
    value = graph.max_pool(value, 3)
    value = graph.prelu(graph.convolution(value, "conv3"), "prelu3")
    value = graph.max_pool(value, 2)
    value = graph.prelu(graph.convolution(value, "conv4"), "prelu4")
    value = graph.prelu(graph.dense_after_convolution(value, "dense5", side=3), "prelu5", planes=False)
    score = graph.node("Sigmoid", graph.dense(value, "dense6_1", margin=True))
    offsets = graph.dense(value, "dense6_2")
    landmarks = graph.dense(value, "dense6_3")
    return graph.model(
        {"image": [batch, ONET_SIZE, ONET_SIZE, 3]},
        {"score": (score, [batch, 1]), "offsets": (offsets, [batch, 4]), "landmarks": (landmarks, [batch, 10])},
    )


class _Builder(Graph):
    """A Graph whose layers take their constants from a state dict by the layer's name."""

    def __init__(self, name: str, weights: Weights) -> None:
        super().__init__(name)
        self._weights = weights

    def channels(self, value: str, start: int, stop: int) -> str:
        return self.node("Slice", value, *(self.constant(np.array([at])) for at in (start, stop, -1)))

    def last_pixels(self, value: str, *, kernel: int) -> str:
        """(1, height, width, 1) -> (1, 1, ...): for every place of a kernel, the lower right pixel that it covers."""
        starts, ends, axes = ([kernel - 1] * 2, [np.iinfo(np.int64).max] * 2, [1, 2])
        sliced = self.node("Slice", value, *(self.constant(np.array(values)) for values in (starts, ends, axes)))
        return self.node("Transpose", sliced, perm=[0, 3, 1, 2])

    def first_convolution(self, value: str) -> str:
        """`conv1` on pixels 0 to 255, channels last."""
        kernel, bias = self._weights["conv1.weight"], self._weights["conv1.bias"]
        shifted = bias - kernel.sum(axis=(1, 2, 3)) * np.float32(_MEAN / _SCALE)
        planes = self.node("Transpose", value, perm=[0, 3, 1, 2])
        return self.node("Conv", planes, self.constant(kernel / np.float32(_SCALE)), self.constant(shifted))

    def convolution(self, value: str, layer: str, *, margin: bool = False) -> str:
        return self.node("Conv", value, *self._kernel_and_bias(layer, margin))

    def prelu(self, value: str, layer: str, *, planes: bool = True) -> str:
        """One slope a channel; `planes` when each channel is a plane and not a single number."""
        slopes = self._weights[f"{layer}.weight"]
        return self.node("PRelu", value, self.constant(slopes[:, None, None] if planes else slopes))

    def max_pool(self, value: str, size: int) -> str:
        return self.node("MaxPool", value, kernel_shape=[size, size], strides=[2, 2], ceil_mode=1)

    def dense(self, value: str, layer: str, *, margin: bool = False) -> str:
        return self.node("Gemm", value, *self._kernel_and_bias(layer, margin), transB=1)

    def dense_after_convolution(self, value: str, layer: str, *, side: int) -> str:
        """A dense layer on (n, channels, side, side). It was trained on (width, height, channels): its columns move."""
        kernel, bias = self._weights[f"{layer}.weight"], self._weights[f"{layer}.bias"]
        ordered = kernel.reshape(len(kernel), side, side, -1).transpose(0, 3, 2, 1).reshape(len(kernel), -1)
        flat = self.node("Flatten", value)
        return self.node("Gemm", flat, self.constant(ordered), self.constant(bias), transB=1)

    def _kernel_and_bias(self, layer: str, margin: bool) -> tuple[str, str]:
        """`margin`: of two outputs, "no face" and "face", the second less the first, whose sigmoid is their softmax."""
        kernel, bias = self._weights[f"{layer}.weight"], self._weights[f"{layer}.bias"]
        if margin:
            kernel, bias = kernel[1:] - kernel[:1], bias[1:] - bias[:1]
        return self.constant(kernel), self.constant(bias)
