"""PocketNet: small face networks from a genotype found by architecture search.

Source: Boutros et al., PocketNet: extreme lightweight face recognition network using neural architecture search and
multi-step knowledge distillation (IEEE Access 10, 2022); the genotype `softmax_casia` of its published code.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn

from kd.backbones.blocks import EmbeddingHead

Edge = tuple[str, int]
"""An operation, and the node that it reads: 0 and 1 are the outputs of the two cells before, 2 to 5 this cell's own."""
Node = tuple[Edge, Edge]
"""A node is the sum of its two edges."""

_NORMAL: Final[tuple[Node, ...]] = (
    (("dw3", 0), ("dw1", 1)),
    (("dw3", 2), ("dw5", 0)),
    (("dw3", 3), ("dw3", 0)),
    (("dw3", 4), ("skip", 0)),
)
_REDUCTION: Final[tuple[Node, ...]] = (
    (("dw3", 1), ("dw7", 0)),
    (("skip", 2), ("dw5", 1)),
    (("max3", 0), ("skip", 2)),
    (("max3", 0), ("max3", 1)),
)
_INPUTS: Final = 2
_TOTAL_STRIDE: Final = 16
_HIDDEN, _HIDDEN_512 = 512, 1024


class PocketNet(nn.Module):
    """(n, 3, side, side) -> (n, dim), side a multiple of 16.

    PocketNetS is 16 channels and 18 cells, PocketNetM 32 and 9. Parameters at side 112: S 925,632 at dim 128 and
    991,424 at dim 256, M 1,686,656 and 1,752,448.
    """

    def __init__(self, side: int, dim: int, *, channels: int, cells: int) -> None:
        super().__init__()
        outputs = len(_NORMAL) * channels
        self.stem = nn.Sequential(nn.Conv2d(3, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs))
        before, last, after_reduction = outputs, outputs, False
        self.cells = nn.ModuleList()
        for number in range(cells):
            reduces = number in (cells // 3, 2 * cells // 3, cells - 1)
            channels *= 2 if reduces else 1
            self.cells.append(_Cell(before, last, channels, reduces=reduces, after_reduction=after_reduction))
            before, last, after_reduction = last, len(_NORMAL) * channels, reduces
        self.relu = nn.PReLU(last)
        hidden = _HIDDEN_512 if dim == 512 else _HIDDEN
        places = side // _TOTAL_STRIDE
        self.head = EmbeddingHead(last, hidden, places, dim, activation=nn.PReLU, normalised=True)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_uniform_(module.weight)

    def forward(self, crops: Tensor) -> Tensor:
        before = last = self.stem(crops)
        for cell in self.cells:
            before, last = last, cell(before, last)
        embedding: Tensor = self.head(self.relu(last))
        return embedding


class _Cell(nn.Module):
    """Four nodes side by side: (n, before, h, h) and (n, last, h, h) -> (n, 4 × channels, h, h), h halved where it
    reduces. After a reduction `before` is twice as large a map, and is reduced too.
    """

    def __init__(self, before: int, last: int, channels: int, *, reduces: bool, after_reduction: bool) -> None:
        super().__init__()
        prepare = _Halve if after_reduction else _separable
        self.before, self.last = prepare(before, channels), _separable(last, channels)
        self.nodes: Sequence[Node] = _REDUCTION if reduces else _NORMAL
        self.edges = nn.ModuleList(
            _OPERATIONS[operation](channels, 2 if reduces and source < _INPUTS else 1)
            for node in self.nodes
            for operation, source in node
        )

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        states = [self.before(before), self.last(last)]
        edges = iter(self.edges)
        for (_, first), (_, second) in self.nodes:
            states.append(next(edges)(states[first]) + next(edges)(states[second]))
        return torch.cat(states[_INPUTS:], dim=1)


def _separable(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Module:
    """PReLU, depthwise, pointwise, batch normalisation."""
    return nn.Sequential(
        nn.PReLU(inputs),
        nn.Conv2d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
    )


class _Halve(nn.Module):
    """Half the map without losing a place of it: two strided branches, the second one pixel further."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.relu = nn.PReLU(inputs)
        self.even, self.odd = _sampled(inputs, outputs // 2), _sampled(inputs, outputs // 2)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        features = self.relu(features)
        halves: Tensor = self.norm(torch.cat([self.even(features), self.odd(features[:, :, 1:, 1:])], dim=1))
        return halves


def _sampled(inputs: int, outputs: int) -> nn.Sequential:
    depthwise = nn.Conv2d(inputs, inputs, 1, 2, groups=inputs, bias=False)
    return nn.Sequential(depthwise, nn.Conv2d(inputs, outputs, 1, bias=False))


def _pooled(channels: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.MaxPool2d(3, stride, padding=1), nn.BatchNorm2d(channels))


_OPERATIONS: Final[Mapping[str, Callable[[int, int], nn.Module]]] = MappingProxyType(
    {
        "dw1": lambda channels, stride: _separable(channels, channels, 1, stride),
        "dw3": lambda channels, stride: _separable(channels, channels, 3, stride),
        "dw5": lambda channels, stride: _separable(channels, channels, 5, stride),
        "dw7": lambda channels, stride: _separable(channels, channels, 7, stride),
        "max3": _pooled,
        "skip": lambda _channels, _stride: nn.Identity(),  # this genotype has none of stride 2
    }
)
