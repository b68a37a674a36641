"""IResNet, the usual teacher, with the parameter names of insightface's arcface_torch: its `backbone.pth` files load.

Source: Duta et al., Improved residual networks for image and video recognition; Deng et al., ArcFace, sec. 3.1;
insightface `recognition/arcface_torch/backbones/iresnet.py`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from torch import Tensor, nn

IRESNET_BLOCKS: Final[Mapping[int, tuple[int, int, int, int]]] = MappingProxyType(
    {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}
)
"""Depth -> residual blocks of each stage."""
_STEM: Final = 64
_CHANNELS: Final = (64, 128, 256, 512)
_TOTAL_STRIDE: Final = 16
_INITIAL_SPREAD: Final = 0.1


class IResNet(nn.Module):
    """(n, 3, side, side) -> (n, dim); `blocks` a stage. At side 112 and dim 512: 24.03 million parameters with 18
    layers, 34.14 with 34, 43.59 with 50, 65.16 with 100. Published files are of side 112.
    """

    def __init__(self, side: int, dim: int, blocks: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _STEM, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.prelu = nn.PReLU(_STEM)
        self.layer1 = _stage(_STEM, _CHANNELS[0], blocks[0])
        self.layer2 = _stage(_CHANNELS[0], _CHANNELS[1], blocks[1])
        self.layer3 = _stage(_CHANNELS[1], _CHANNELS[2], blocks[2])
        self.layer4 = _stage(_CHANNELS[2], _CHANNELS[3], blocks[3])
        self.bn2 = nn.BatchNorm2d(_CHANNELS[3])
        self.fc = nn.Linear(_CHANNELS[3] * (-(-side // _TOTAL_STRIDE)) ** 2, dim)
        self.features = nn.BatchNorm1d(dim)
        self.features.weight.requires_grad_(False)  # as published: the embedding's length is the last layer's alone
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=_INITIAL_SPREAD)

    def forward(self, crops: Tensor) -> Tensor:
        features = self.prelu(self.bn1(self.conv1(crops)))
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        embedding: Tensor = self.features(self.fc(self.bn2(features).flatten(1)))
        return embedding


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    """The first block halves the map."""
    first = _Block(inputs, outputs, stride=2)
    return nn.Sequential(first, *(_Block(outputs, outputs, stride=1) for _ in range(blocks - 1)))


class _Block(nn.Module):
    """Normalise, convolve, normalise, PReLU, convolve, normalise; no activation after the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features if self.downsample is None else self.downsample(features)
        trunk = self.prelu(self.bn2(self.conv1(self.bn1(features))))
        total: Tensor = self.bn3(self.conv2(trunk)) + shortcut
        return total
