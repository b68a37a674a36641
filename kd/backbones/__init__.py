"""Student networks by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

from torch import nn

from kd.backbones.dlibnet import DLIB_VARIANTS, dlib_student
from kd.backbones.inception import InceptionResnetV1
from kd.backbones.iresnet import IRESNET_BLOCKS, IResNet
from kd.backbones.mobilefacenet import FoldedMobileFaceNet, MobileFaceNet
from kd.backbones.pocketnet import PocketNet
from kd.backbones.residual import ResidualPair
from kd.backbones.slimresnet import SlimResNet
from kd.errors import SizeRefused, UnknownName

RESIDUAL: Final = "residual:"
"""Before a name: the network and a second one like it, which learns what the first still lacks."""

_NARROWEST: Final = 0.05  # below it, layers would be left without a channel
_WIDEST: Final = 8.0  # 64 times the parameters


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network, and what it can be asked for."""

    build: Callable[..., nn.Module]
    """(side in pixels, dim), and width where it widens -> a network that maps (n, 3, side, side) to (n, dim)."""
    side: int
    """What it was made for."""
    smallest: int = 16
    """The least side that it takes; every larger one that is a whole number of `step`."""
    step: int = 1
    widens: bool = False
    """Whether it has a width multiplier."""


BACKBONES: Final[Mapping[str, Backbone]] = MappingProxyType(
    {
        "slimresnet": Backbone(SlimResNet, 96, widens=True),
        "mobilefacenet": Backbone(MobileFaceNet, 112, widens=True),
        "mobilefacenet-prelu": Backbone(partial(MobileFaceNet, paper=True), 112, widens=True),
        "mobilefacenet-folded": Backbone(FoldedMobileFaceNet, 112, widens=True),
        "pocketnet-s": Backbone(partial(PocketNet, channels=16, cells=18), 112, step=16),
        "pocketnet-m": Backbone(partial(PocketNet, channels=32, cells=9), 112, step=16),
        **{
            f"iresnet-{depth}": Backbone(partial(IResNet, blocks=blocks), 112)
            for depth, blocks in IRESNET_BLOCKS.items()
        },
        "inception-resnet-v1": Backbone(InceptionResnetV1, 160, smallest=75),
        **{
            name: Backbone(partial(dlib_student, left_out=left_out), 150, smallest=103)
            for name, left_out in DLIB_VARIANTS.items()
        },
    }
)


def find_backbone(name: str) -> Backbone:
    """The entry of a name, with or without `residual:` before it. Raises UnknownName, which lists the names."""
    base = name.removeprefix(RESIDUAL)
    if base not in BACKBONES:
        raise UnknownName("no such backbone", name, f"Choose from {', '.join(sorted(BACKBONES))}, or {RESIDUAL}NAME.")
    return BACKBONES[base]


def build_backbone(name: str, side: int, dim: int, width: float) -> nn.Module:
    """A network as training begins with it; `residual:NAME` is a ResidualPair of two.

    Raises UnknownName; SizeRefused for a side or width that the network cannot have; for the dlibnets WeightsMissing.
    """
    backbone = require_backbone(name, side, width)
    if name.startswith(RESIDUAL):
        base = name.removeprefix(RESIDUAL)
        return ResidualPair(build_backbone(base, side, dim, width), build_backbone(base, side, dim, width))
    return backbone.build(side, dim, width) if backbone.widens else backbone.build(side, dim)


def require_backbone(name: str, side: int, width: float) -> Backbone:
    """The entry of a name. Raises UnknownName; SizeRefused for a side or width that the network cannot have."""
    backbone = find_backbone(name)
    if side < backbone.smallest or side % backbone.step:
        sides = f"at least {backbone.smallest}" + (f" and divisible by {backbone.step}" if backbone.step > 1 else "")
        raise SizeRefused(
            f"{name} takes no crop of side", side, f"Give a side of {sides}; it was made for {backbone.side}."
        )
    if not _NARROWEST <= width <= _WIDEST or (width != 1 and not backbone.widens):
        remedy = (
            f"Give a width from {_NARROWEST} to {_WIDEST:g}."
            if backbone.widens
            else "Leave the width at 1: this network has no multiplier."
        )
        raise SizeRefused(f"{name} has no width of", width, remedy)
    return backbone
