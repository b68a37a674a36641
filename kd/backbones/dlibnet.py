"""dlib's face recognition network, whole or with blocks left out: a student that begins as its own teacher.

Source: dlib `examples/dnn_face_recognition_ex.cpp`, anet_type; the weights are dlib's published ones.

dlib's affine layers (batch normalisations that its author froze) are folded into the convolutions before them. Apart,
the published filters are tiny (root mean square 0.0005 to 0.02) and the gains large (up to 23); folded, every filter
has about the size that a fresh network's would have, so that an optimiser with one rate for all suits it. In a trial
(three blocks left out, 480 views, AdamW) folded weights did about as well at rates from 3e-5 to 3e-4; affine layers
apart did slightly better at 3e-5 and lost the teacher at 3e-4, where batch normalisation, begun with the statistics
of 256 faces, was far behind too.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from faces.models import dlib_weights
from faces.weights.dlib import Layer, read_dlib_network
from kd.backbones.blocks import MEAN, SCALE

Floats = NDArray[np.floating]

_STEM: Final = 32
_BLOCKS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "4a": 32,
        "4b": 32,
        "4c": 32,
        "3a": 64,
        "3b": 64,
        "3c": 64,
        "3d": 64,
        "2a": 128,
        "2b": 128,
        "2c": 128,
        "1a": 256,
        "1b": 256,
        "1c": 256,
        "0a": 256,
    }
)
"""Block -> channels, in the order of the forward pass. The digit is that of dlib's `alevel4` to `alevel0`."""
_HALVING: Final = frozenset({"3a", "2a", "1a", "0a"})
DLIB_VARIANTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "dlibnet": (),
        "dlibnet-27": ("0a",),
        "dlibnet-25": ("0a", "1c"),
        "dlibnet-23": ("0a", "1c", "1b"),
        "dlibnet-17": ("0a", "1c", "1b", "3c", "2c", "2b"),
    }
)
"""Name, with the number of convolutions that are left, -> the blocks left out: those that move the embedding least for
the parameters that they cost, so that dlibnet-23 fits into 10 MB; dlibnet-17 goes on with those that cost time."""
_DLIB_DIM: Final = 128
_DLIB_MEAN: Final = np.array([122.782, 117.001, 104.298])
_DLIB_SCALE: Final = 256.0


class DlibNet(nn.Module):
    """(n, 3, side, side), a student's input (x - 127.5) / 128 -> (n, dim). dlib's side is 150; it needs 103 at least.

    left_out: blocks that lose their convolutions, such as "1c"; what stays of them is their shortcut.
    """

    def __init__(self, dim: int = _DLIB_DIM, left_out: Collection[str] = ()) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _STEM, 7, stride=2)
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        channels = _STEM
        for name, outputs in _BLOCKS.items():
            if name not in left_out:
                blocks[name] = _Block(channels, outputs, halves=name in _HALVING)
            elif name in _HALVING:
                blocks[name] = _Shortcut(outputs)
            channels = outputs
        self.blocks = nn.Sequential(blocks)
        self.project = nn.Linear(channels, dim, bias=False)

    def forward(self, crops: Tensor) -> Tensor:
        features = F.max_pool2d(torch.relu(self.stem(crops)), 3, stride=2)
        embedding: Tensor = self.project(self.blocks(features).mean(dim=(2, 3)))
        return embedding


class _Block(nn.Module):
    """ReLU(two 3×3 convolutions of x + shortcut); halving: strided without padding, the shortcut is the 2×2 mean."""

    def __init__(self, inputs: int, outputs: int, *, halves: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2 if halves else 1, padding=0 if halves else 1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.halves = halves

    def forward(self, features: Tensor) -> Tensor:
        trunk = self.second(torch.relu(self.first(features)))
        shortcut = F.avg_pool2d(features, 2) if self.halves else features
        shape = [max(sizes) for sizes in zip(trunk.shape[1:], shortcut.shape[1:], strict=True)]
        return torch.relu(_grown(trunk, shape) + _grown(shortcut, shape))


class _Shortcut(nn.Module):
    """What stays of a halving block without its convolutions: the 2×2 mean, and zeros in the channels that are new."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, features: Tensor) -> Tensor:
        mean = F.avg_pool2d(features, 2)
        return _grown(mean, [self.channels, *mean.shape[2:]])


def _grown(features: Tensor, shape: Sequence[int]) -> Tensor:
    """Zeros at the far end of each axis but the first, which is how dlib's `add_prev` adds maps of different shapes."""
    missing = [wanted - present for wanted, present in zip(shape, features.shape[1:], strict=True)]
    if not any(missing):
        return features  # a padding of nothing would be exported, and costs the runtime its fused sums
    channels, height, width = missing
    return F.pad(features, (0, width, 0, height, 0, channels))


def dlib_student(_side: int, dim: int, *, left_out: Collection[str] = ()) -> DlibNet:
    """The network with dlib's own weights; in another dimension than 128 the projection alone is fresh.

    Raises WeightsMissing or WeightsUnreadable.
    """
    network = DlibNet(dim, left_out)
    wanted = network.state_dict()
    inherited = dlib_state(read_dlib_network(dlib_weights()))
    kept = {name: values for name, values in inherited.items() if name in wanted}
    if dim != _DLIB_DIM:
        kept["project.weight"] = wanted["project.weight"]
    network.load_state_dict(kept)
    return network


def dlib_state(layers: Sequence[Layer]) -> dict[str, Tensor]:
    """The whole DlibNet's tensors, by name, from all computing layers in the order of the forward pass.

    The input layer's mean and scale and the student's are folded into the first convolution; it pads nothing, so that
    this is exact.
    """
    names = ["stem", *(f"blocks.{block}.{part}" for block in _BLOCKS for part in ("first", "second"))]
    folded = dict(zip(names, _folded(layers), strict=True))
    weights, bias = folded["stem"]
    shift = ((MEAN - _DLIB_MEAN) / _DLIB_SCALE).reshape(1, -1, 1, 1)
    folded["stem"] = (weights * (SCALE / _DLIB_SCALE), bias + (weights * shift).sum(axis=(1, 2, 3)))
    state = {}
    for name, (weights, bias) in folded.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = _tensor(weights), _tensor(bias)
    state["project.weight"] = _tensor(layers[-1].parameters.reshape(-1, _DLIB_DIM).T)
    return state


def _folded(layers: Sequence[Layer]) -> Iterator[tuple[Floats, Floats]]:
    """(outputs, inputs, rows, columns) and (outputs,) of each convolution with its affine layer folded in; float64."""
    inputs = 3
    for layer, affine in pairwise(layers):
        if layer.kind == "con_4":
            outputs, rows, columns, *_ = layer.numbers
            parameters = layer.parameters.astype(np.float64)
            gain, shift = affine.parameters.astype(np.float64).reshape(2, outputs)
            weights = parameters[:-outputs].reshape(outputs, inputs, rows, columns)
            yield weights * gain[:, None, None, None], parameters[-outputs:] * gain + shift
            inputs = outputs


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
