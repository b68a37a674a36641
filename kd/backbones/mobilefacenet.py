"""MobileFaceNet with a width multiplier, with ReLU or as published."""

from typing import Final

from torch import Tensor, nn

from kd.backbones.blocks import Activation, EmbeddingHead, conv_bn, relu

_STAGES: Final = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""Expansion, channels, blocks, stride of the first block (Chen et al., MobileFaceNets, table 1)."""
_HIDDEN: Final = 512
_TOTAL_STRIDE: Final = 16


class MobileFaceNet(nn.Module):
    """(n, 3, side, side) -> (n, dim).

    paper: PReLU and a batch normalisation at the end, as published (1.003 million parameters at side 112 and dim 128,
    1.201 million at 512). Without it ReLU and a bias: PReLU's backward pass costs a CPU several times more, and ONNX
    Runtime does not fuse it (`benchmarks/backbones.py`).
    """

    def __init__(self, side: int = 112, dim: int = 128, width: float = 1.0, *, paper: bool = False) -> None:
        super().__init__()
        activation: Activation = nn.PReLU if paper else relu
        channels = round(64 * width)
        layers: list[nn.Module] = [
            conv_bn(3, channels, 3, stride=2),
            activation(channels),
            conv_bn(channels, channels, 3, groups=channels),
            activation(channels),
        ]
        for expansion, outputs, blocks, stride in _STAGES:
            for block in range(blocks):
                first = stride if block == 0 else 1
                layers.append(_Bottleneck(channels, round(outputs * width), expansion, first, activation))
                channels = round(outputs * width)
        self.features = nn.Sequential(*layers)
        places = -(-side // _TOTAL_STRIDE)
        self.head = EmbeddingHead(channels, _HIDDEN, places, dim, activation=activation, normalised=paper)

    def forward(self, crops: Tensor) -> Tensor:
        embedding: Tensor = self.head(self.features(crops))
        return embedding


class _Bottleneck(nn.Module):
    """Widen by 1×1, filter by depthwise 3×3, narrow by a linear 1×1; added to its input where the shape allows."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, activation: Activation) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.trunk = nn.Sequential(
            conv_bn(inputs, hidden, 1),
            activation(hidden),
            conv_bn(hidden, hidden, 3, stride=stride, groups=hidden),
            activation(hidden),
            conv_bn(hidden, outputs, 1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        trunk: Tensor = self.trunk(features)
        return features + trunk if self.residual else trunk
