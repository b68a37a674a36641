"""MobileFaceNet with a width multiplier, with ReLU or as published; and as a teacher of that kind is served."""

from typing import Final

from torch import Tensor, nn

from kd.backbones.blocks import Activation, Convolution, EmbeddingHead, conv_bias, conv_bn, relu

_STAGES: Final = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""Expansion, channels, blocks, stride of the first block (Chen et al., MobileFaceNets, table 1)."""
_CHANNELS: Final = 64
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
        channels = round(_CHANNELS * width)
        layers: list[nn.Module] = [
            conv_bn(3, channels, 3, stride=2),
            activation(channels),
            conv_bn(channels, channels, 3, groups=channels),
            activation(channels),
        ]
        for expansion, outputs, blocks, stride in _STAGES:
            for block in range(blocks):
                first = stride if block == 0 else 1
                layers.append(Bottleneck(channels, channels * expansion, round(outputs * width), first, activation))
                channels = round(outputs * width)
        self.features = nn.Sequential(*layers)
        places = -(-side // _TOTAL_STRIDE)
        self.head = EmbeddingHead(channels, _HIDDEN, places, dim, activation=activation, normalised=paper)

    def forward(self, crops: Tensor) -> Tensor:
        embedding: Tensor = self.head(self.features(crops))
        return embedding


class FoldedMobileFaceNet(nn.Module):
    """(n, 3, side, side) -> (n, dim): the published network as an exported one is, batch normalisations folded in.

    width: the share of channels kept inside each block and before the embedding. What blocks hand to each other stays
    as it is, so that a wider network's channels can be left out one by one (`kd.cut`).
    """

    def __init__(self, side: int = 112, dim: int = 128, width: float = 1.0) -> None:
        super().__init__()
        channels = _CHANNELS
        layers: list[nn.Module] = [
            conv_bias(3, channels, 3, stride=2),
            nn.PReLU(channels),
            conv_bias(channels, channels, 3, groups=channels),
            nn.PReLU(channels),
        ]
        for expansion, outputs, blocks, stride in _STAGES:
            for block in range(blocks):
                hidden, first = round(channels * expansion * width), stride if block == 0 else 1
                layers.append(Bottleneck(channels, hidden, outputs, first, nn.PReLU, conv_bias))
                channels = outputs
        self.features = nn.Sequential(*layers)
        places, hidden = -(-side // _TOTAL_STRIDE), round(_HIDDEN * width)
        self.head = EmbeddingHead(channels, hidden, places, dim, activation=nn.PReLU, conv=conv_bias)

    def forward(self, crops: Tensor) -> Tensor:
        embedding: Tensor = self.head(self.features(crops))
        return embedding


class Bottleneck(nn.Module):
    """Widen by 1×1, filter by depthwise 3×3, narrow by a linear 1×1; added to its input where the shape allows."""

    def __init__(
        self, inputs: int, hidden: int, outputs: int, stride: int, activation: Activation, conv: Convolution = conv_bn
    ) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            conv(inputs, hidden, 1),
            activation(hidden),
            conv(hidden, hidden, 3, stride=stride, groups=hidden),
            activation(hidden),
            conv(hidden, outputs, 1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        trunk: Tensor = self.trunk(features)
        return features + trunk if self.residual else trunk
