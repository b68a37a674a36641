"""A student that begins as its own teacher with channels left out: a MobileFaceNet, block by block.

A channel inside a block is worth what it adds to the block's answer: its standard deviation over faces and places,
times the length of the weights that it meets next. Of those that are kept, the block's last layer is fitted anew, so
that the block answers on the narrower network's own features as the teacher's block does on its own.
Source: He, Zhang, Sun, Channel Pruning for Accelerating Very Deep Neural Networks (ICCV 2017), sec. 3, with this
measure in place of their LASSO.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from kd.adapters import ridge
from kd.backbones.blocks import EmbeddingHead
from kd.backbones.mobilefacenet import Bottleneck, FoldedMobileFaceNet
from kd.errors import CheckpointMismatch

FACES: Final = 320
"""Enough to fit the last layer: 512 unknowns, and 49 places of each face but there."""

_ROWS: Final = 60_000  # of a fit: more tell nothing new


def folded_weights(model: bytes, network: FoldedMobileFaceNet) -> dict[str, Tensor]:
    """The state of `network`, of the width of the ONNX model. Raises CheckpointMismatch for another network's."""
    try:
        graph = onnx.load_model_from_string(model).graph
    except Exception as error:  # noqa: BLE001 - protobuf's own error is none of Python's
        raise CheckpointMismatch("not an ONNX model", type(error).__name__, _ALIKE) from None
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    layers = [node for node in graph.node if node.op_type in _LAYERS]
    found = [constants[name] for node in layers for name in node.input if name in constants]
    wanted = network.state_dict()
    if [_axes(values.shape) for values in found] != [_axes(values.shape) for values in wanted.values()]:
        raise CheckpointMismatch("an ONNX model of another network, with tensors", len(found), _ALIKE)
    return {
        name: torch.from_numpy(np.array(values, dtype=np.float32)).reshape(like.shape)
        for (name, like), values in zip(wanted.items(), found, strict=True)
    }


def _axes(shape: Sequence[int]) -> list[int]:
    """A slope is (channels,) here and (1, channels, 1, 1) there."""
    return [size for size in shape if size > 1]


_LAYERS: Final = frozenset({"Conv", "PRelu", "Gemm"})
_ALIKE: Final = "Give a MobileFaceNet's whose batch normalisations are folded into its convolutions."


@torch.no_grad()
def cut(whole: FoldedMobileFaceNet, student: FoldedMobileFaceNet, crops: Tensor) -> None:
    """Lay into the student, which is no wider, what of `whole` matters most on these faces: (n, 3, side, side)."""
    features = narrow = crops
    for layer, copy in zip(whole.features, student.features, strict=True):
        answer = layer(features)
        if isinstance(layer, Bottleneck) and isinstance(copy, Bottleneck):
            _cut_block(layer, copy, features, narrow, answer)
        else:
            copy.load_state_dict(layer.state_dict())
        features, narrow = answer, copy(narrow)
    _cut_head(whole.head, student.head, features, narrow)


def _cut_block(block: Bottleneck, copy: Bottleneck, features: Tensor, narrow: Tensor, answer: Tensor) -> None:
    worth = block.trunk[:-1](features).std(dim=(0, 2, 3)) * _weights(block.trunk[-1]).flatten(1).norm(dim=0)
    _keep(block.trunk, copy.trunk, worth)
    missing = answer - narrow if copy.residual else answer
    _fit(copy.trunk[-1], _rows(copy.trunk[:-1](narrow)), _rows(missing))


def _cut_head(head: EmbeddingHead, copy: EmbeddingHead, features: Tensor, narrow: Tensor) -> None:
    weighed = head.weighed(features)
    worth = weighed.std(dim=0) * _weights(head.project).norm(dim=0)
    _keep(nn.Sequential(head.widen, head.relu, head.weigh), nn.Sequential(copy.widen, copy.relu, copy.weigh), worth)
    _fit(copy.project, copy.weighed(narrow), head.project(weighed))


def _fit(layer: nn.Module, rows: Tensor, targets: Tensor) -> None:
    """Let a linear layer, or a convolution by 1×1, answer (n, inputs) with what is nearest to (n, outputs)."""
    for values, fitted in zip(layer.parameters(), ridge([(rows.numpy(), targets.numpy())]), strict=True):
        values.copy_(fitted.reshape(values.shape))


def _weights(layer: nn.Module) -> Tensor:
    return next(layer.parameters())


def _keep(layers: nn.Sequential, copies: nn.Sequential, worth: Tensor) -> None:
    """Copy the channels of most worth of every layer that has those channels as its outputs."""
    width = len(next(copies.parameters()))
    kept = worth.topk(width).indices.sort().values
    for layer, copy in zip(layers, copies, strict=True):
        for values, place in zip(layer.parameters(), copy.parameters(), strict=True):
            if len(values) == len(worth) and len(place) == width:
                place.copy_(values[kept])


def _rows(maps: Tensor) -> Tensor:
    """(n, channels, height, width) -> (rows, channels), thinned out evenly."""
    rows = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
    return rows[:: max(1, len(rows) // _ROWS)]
