"""Pieces that the backbones share."""

from torch import Tensor, nn


def conv_bn(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, padding: int | None = None
) -> nn.Sequential:
    """Convolution without bias, then batch normalisation; `padding` keeps the size unless given."""
    padding = kernel // 2 if padding is None else padding
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class EmbeddingHead(nn.Module):
    """Widen, weigh every place of the map by its own depthwise kernel, project: (n, inputs, s, s) -> (n, dim).

    Source: Chen et al., MobileFaceNets, sec. 3.2 (global depthwise convolution).
    """

    def __init__(self, inputs: int, hidden: int, side: int, dim: int) -> None:
        super().__init__()
        self.widen = conv_bn(inputs, hidden, 1)
        self.relu = nn.ReLU(inplace=True)
        self.weigh = conv_bn(hidden, hidden, side, groups=hidden, padding=0)
        self.project = nn.Linear(hidden, dim)

    def forward(self, features: Tensor) -> Tensor:
        embedding: Tensor = self.project(self.weigh(self.relu(self.widen(features))).flatten(1))
        return embedding
