"""MobileFaceNet with ReLU and a width multiplier."""

from typing import Final

from torch import Tensor, nn

from kd.backbones.blocks import EmbeddingHead, conv_bn

_STAGES: Final = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""Expansion, channels, blocks, stride of the first block (Chen et al., MobileFaceNets, table 1)."""
_HIDDEN: Final = 512
_TOTAL_STRIDE: Final = 16


class MobileFaceNet(nn.Module):
    """(n, 3, side, side) -> (n, dim). ReLU where the paper has PReLU, whose backward pass costs five times more."""

    def __init__(self, side: int = 112, dim: int = 128, width: float = 1.0) -> None:
        super().__init__()
        channels = round(64 * width)
        layers: list[nn.Module] = [
            conv_bn(3, channels, 3, stride=2),
            nn.ReLU(inplace=True),
            conv_bn(channels, channels, 3, groups=channels),
            nn.ReLU(inplace=True),
        ]
        for expansion, outputs, blocks, stride in _STAGES:
            for block in range(blocks):
                layers.append(_Bottleneck(channels, round(outputs * width), expansion, stride if block == 0 else 1))
                channels = round(outputs * width)
        self.features = nn.Sequential(*layers)
        self.head = EmbeddingHead(channels, _HIDDEN, -(-side // _TOTAL_STRIDE), dim)

    def forward(self, crops: Tensor) -> Tensor:
        embedding: Tensor = self.head(self.features(crops))
        return embedding


class _Bottleneck(nn.Module):
    """Widen by 1×1, filter by depthwise 3×3, narrow by a linear 1×1; added to its input where the shape allows."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.trunk = nn.Sequential(
            conv_bn(inputs, hidden, 1),
            nn.ReLU(inplace=True),
            conv_bn(hidden, hidden, 3, stride=stride, groups=hidden),
            nn.ReLU(inplace=True),
            conv_bn(hidden, outputs, 1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        trunk: Tensor = self.trunk(features)
        return features + trunk if self.residual else trunk
