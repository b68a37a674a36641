"""InceptionResnetV1 with the parameter names of facenet-pytorch, so that its published weights load.

Source: Szegedy et al., Inception-v4, Inception-ResNet and the impact of residual connections on learning;
facenet_pytorch/models/inception_resnet_v1.py, version 2.6.0, whose classifier (`logits`) is no part of the network.
"""

from typing import Final

import torch
from torch import Tensor, nn

Size = int | tuple[int, int]

_DROPOUT: Final = 0.6
_EPSILON: Final = 1e-3  # the published weights come from TensorFlow


class InceptionResnetV1(nn.Module):
    """(n, 3, side, side) -> (n, dim), rows as its last normalisation gives them, not of unit length.

    Published for side 160 and dim 512; there 23.48 million parameters, whatever the side.
    """

    def __init__(self, side: int = 160, dim: int = 512) -> None:  # noqa: ARG002 - a global mean fits every side
        super().__init__()
        self.conv2d_1a = _Convolution(3, 32, 3, stride=2)
        self.conv2d_2a = _Convolution(32, 32, 3)
        self.conv2d_2b = _Convolution(32, 64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, stride=2)
        self.conv2d_3b = _Convolution(64, 80, 1)
        self.conv2d_4a = _Convolution(80, 192, 3)
        self.conv2d_4b = _Convolution(192, 256, 3, stride=2)
        self.repeat_1 = nn.Sequential(*(_block35() for _ in range(5)))
        self.mixed_6a = _Mixed(
            _Convolution(256, 384, 3, stride=2),
            nn.Sequential(
                _Convolution(256, 192, 1), _Convolution(192, 192, 3, padding=1), _Convolution(192, 256, 3, stride=2)
            ),
            nn.MaxPool2d(3, stride=2),
        )
        self.repeat_2 = nn.Sequential(*(_block17() for _ in range(10)))
        self.mixed_7a = _Mixed(
            nn.Sequential(_Convolution(896, 256, 1), _Convolution(256, 384, 3, stride=2)),
            nn.Sequential(_Convolution(896, 256, 1), _Convolution(256, 256, 3, stride=2)),
            nn.Sequential(
                _Convolution(896, 256, 1), _Convolution(256, 256, 3, padding=1), _Convolution(256, 256, 3, stride=2)
            ),
            nn.MaxPool2d(3, stride=2),
        )
        self.repeat_3 = nn.Sequential(*(_block8(scale=0.2) for _ in range(5)))
        self.block8 = _block8(scale=1.0, last=True)
        self.dropout = nn.Dropout(_DROPOUT)
        self.last_linear = nn.Linear(1792, dim, bias=False)
        self.last_bn = nn.BatchNorm1d(dim, eps=_EPSILON)

    def forward(self, crops: Tensor) -> Tensor:
        features = self.maxpool_3a(self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(crops))))
        features = self.repeat_1(self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(features))))
        features = self.repeat_2(self.mixed_6a(features))
        features = self.block8(self.repeat_3(self.mixed_7a(features)))
        embedding: Tensor = self.last_bn(self.last_linear(self.dropout(features.mean(dim=(2, 3)))))
        return embedding


class _Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Size, *, stride: int = 1, padding: Size = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=_EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(features)))


class _Mixed(nn.Module):
    """Branches on the same map, `branch0`, `branch1`, …: their channels are joined."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.count = len(branches)
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self.get_submodule(f"branch{number}")(features) for number in range(self.count)], dim=1)


class _Block(_Mixed):
    """ReLU(x + scale × the joined branches of x, brought back to x's channels by a 1×1); the last has no ReLU."""

    def __init__(self, channels: int, joined: int, scale: float, *branches: nn.Module, last: bool = False) -> None:
        super().__init__(*branches)
        self.conv2d = nn.Conv2d(joined, channels, 1)
        self.scale, self.last = scale, last

    def forward(self, features: Tensor) -> Tensor:
        total: Tensor = self.conv2d(super().forward(features)) * self.scale + features
        return total if self.last else torch.relu(total)


def _block35() -> _Block:
    return _Block(
        256,
        96,
        0.17,
        _Convolution(256, 32, 1),
        nn.Sequential(_Convolution(256, 32, 1), _Convolution(32, 32, 3, padding=1)),
        nn.Sequential(_Convolution(256, 32, 1), _Convolution(32, 32, 3, padding=1), _Convolution(32, 32, 3, padding=1)),
    )


def _block17() -> _Block:
    return _Block(896, 256, 0.1, _Convolution(896, 128, 1), _crossed(896, 128, 7))


def _block8(scale: float, *, last: bool = False) -> _Block:
    return _Block(1792, 384, scale, _Convolution(1792, 192, 1), _crossed(1792, 192, 3), last=last)


def _crossed(inputs: int, outputs: int, length: int) -> nn.Sequential:
    """1×1, then a row and a column of `length` in place of a square."""
    row = _Convolution(outputs, outputs, (1, length), padding=(0, length // 2))
    column = _Convolution(outputs, outputs, (length, 1), padding=(length // 2, 0))
    return nn.Sequential(_Convolution(inputs, outputs, 1), row, column)
