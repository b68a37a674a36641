"""Margins: what is taken from the true class's cosine before the softmax."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from kd.errors import UnknownName

_EDGE: Final = 1e-6  # acos has infinite slope at ±1


@dataclass(frozen=True, slots=True)
class Margin:
    """size: radians for ArcFace, cosine for CosFace. scale: what the cosines are multiplied by."""

    size: float
    scale: float


def arcface_logits(cosine: Tensor, labels: Tensor, margin: Margin) -> Tensor:
    """Logits with an additive angular margin on the true class: (n, classes), (n,) int64 -> (n, classes).

    Differentiated through acos as the formula stands. Past pi, and for cosines outside [-1, 1] (see kd.head), the
    linear extension keeps the logit falling with the cosine.
    Source: Deng et al., ArcFace, eq. 3.
    """
    target = cosine.gather(1, labels[:, None])
    theta = target.clamp(-1 + _EDGE, 1 - _EDGE).acos()
    past_pi = (theta + margin.size > math.pi) | (target < -1 + _EDGE)
    eased = target - margin.size * math.sin(margin.size)
    shifted = torch.where(past_pi, eased, (theta + margin.size).cos())
    return margin.scale * cosine.scatter(1, labels[:, None], shifted)


def cosface_logits(cosine: Tensor, labels: Tensor, margin: Margin) -> Tensor:
    """Logits with an additive cosine margin on the true class: (n, classes), (n,) int64 -> (n, classes).

    Source: Wang et al., CosFace, eq. 4.
    """
    shifted = cosine.gather(1, labels[:, None]) - margin.size
    return margin.scale * cosine.scatter(1, labels[:, None], shifted)


MarginLogits = Callable[[Tensor, Tensor, Margin], Tensor]
MARGINS: Final[Mapping[str, MarginLogits]] = MappingProxyType({"arcface": arcface_logits, "cosface": cosface_logits})


def margin_named(name: str) -> MarginLogits:
    """Raises UnknownName, which lists the names."""
    if name not in MARGINS:
        raise UnknownName("no such margin", name, f"Choose from {', '.join(sorted(MARGINS))}.")
    return MARGINS[name]
