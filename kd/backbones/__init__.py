"""Student networks by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from torch import nn

from kd.backbones.mobilefacenet import MobileFaceNet
from kd.backbones.slimresnet import SlimResNet
from kd.errors import UnknownName

BACKBONES: Final[Mapping[str, Callable[[int, int, float], nn.Module]]] = MappingProxyType(
    {"mobilefacenet": MobileFaceNet, "slimresnet": SlimResNet}
)
"""Name -> constructor of (side in pixels, dim, width multiplier); the network maps (n, 3, side, side) to (n, dim)."""


def build_backbone(name: str, side: int, dim: int, width: float) -> nn.Module:
    """A fresh network. Raises UnknownName, which lists the names."""
    if name not in BACKBONES:
        raise UnknownName("no such backbone", name, f"Choose from {', '.join(sorted(BACKBONES))}.")
    return BACKBONES[name](side, dim, width)
