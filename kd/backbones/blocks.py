"""Pieces that the backbones share."""

from collections.abc import Callable
from typing import Final, Protocol

from torch import Tensor, nn

MEAN: Final = 127.5
SCALE: Final = 128.0
"""Every backbone is given (pixel - MEAN) / SCALE."""

Activation = Callable[[int], nn.Module]
"""Channels -> an activation; `nn.PReLU` is one as it stands."""


def relu(_channels: int) -> nn.Module:
    return nn.ReLU(inplace=True)


def conv_bn(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, padding: int | None = None
) -> nn.Sequential:
    """Convolution without bias, then batch normalisation; `padding` keeps the size unless given."""
    padding = kernel // 2 if padding is None else padding
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def conv_bias(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, padding: int | None = None
) -> nn.Module:
    """Convolution with a bias: what is left of `conv_bn` once its batch normalisation is folded in."""
    padding = kernel // 2 if padding is None else padding
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups)


class Convolution(Protocol):
    """`conv_bn` or `conv_bias`."""

    def __call__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, padding: int | None = None
    ) -> nn.Module: ...


class EmbeddingHead(nn.Module):
    """Widen, weigh every place of the map by its own depthwise kernel, project: (n, inputs, s, s) -> (n, dim).

    normalised: the projection has a batch normalisation instead of a bias. conv: what its convolutions are.
    Source: Chen et al., MobileFaceNets, sec. 3.2 (global depthwise convolution).
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        side: int,
        dim: int,
        *,
        activation: Activation = relu,
        normalised: bool = False,
        conv: Convolution = conv_bn,
    ) -> None:
        super().__init__()
        self.widen = conv(inputs, hidden, 1)
        self.relu = activation(hidden)
        self.weigh = conv(hidden, hidden, side, groups=hidden, padding=0)
        self.project: nn.Module = nn.Linear(hidden, dim)
        if normalised:
            self.project = nn.Sequential(nn.Linear(hidden, dim, bias=False), nn.BatchNorm1d(dim))

    def forward(self, features: Tensor) -> Tensor:
        embedding: Tensor = self.project(self.weighed(features))
        return embedding

    def weighed(self, features: Tensor) -> Tensor:
        """What the projection takes: (n, hidden)."""
        weighed: Tensor = self.weigh(self.relu(self.widen(features))).flatten(1)
        return weighed
