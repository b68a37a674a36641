"""Margins: what is taken from the true class's cosine before the softmax."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from kd import distributed
from kd.errors import KnobRefused, require_name

_LEAST_SQUARED_SINE: Final = 1e-8  # the sine's slope is infinite at cos = ±1
_MEMORY: Final = 0.99  # of a running mean, per step


class Margin(nn.Module):
    """No margin at all: the plain softmax, and what each margin changes of it. What it remembers is a buffer.

    A cosine here may lie outside [-1, 1]: in a cone they are stretched (kd.head.stretched). Formulas are differentiated
    as they stand; where a paper's ends, at ±1, it is continued so that values and slopes stay finite and a nearer
    face never scores less.
    """

    usual: ClassVar[float] = 0.0
    """The size that its paper trains with."""

    def __init__(self, size: float | Tensor) -> None:
        """size: of the whole margin, as its paper has it: radians, a cosine, or how many times the angle.

        ArcFace and CosFace also take (n,), one for each row that has a label.
        """
        super().__init__()
        self.size = size

    def observe(self, cosine: Tensor, norms: Tensor) -> None:
        """Look at this rank's rows of a training batch before it is used: true-class cosines (n,), lengths (n,)."""

    def target(self, cosine: Tensor, norms: Tensor, ramp: float) -> Tensor:
        """True-class cosines (n,), lengths of the raw embeddings (n,) -> (n,), with the share `ramp` of the margin."""
        return cosine

    def others(self, cosines: Tensor, target: Tensor, ramp: float) -> Tensor:
        """Cosines to other classes (n, c), beside their row's `target` (n,) -> (n, c). Rows do not see each other."""
        return cosines


def turned(cosine: Tensor, angle: Tensor) -> Tensor:
    """cos(θ + angle), falling with θ throughout: (n,), (n,) or () radians in [-π/2, π/2] -> (n,).

    Where θ + angle passes π it is `cos θ - angle · sin(angle)`; where it would pass 0 it is 1.
    """
    sine = (1 - cosine.square()).clamp(min=_LEAST_SQUARED_SINE).sqrt()
    value = cosine * angle.cos() - sine * angle.sin()
    past_pi = (angle > 0) & (cosine < -angle.cos())
    past_zero = (angle < 0) & (cosine > angle.cos())
    value = torch.where(past_pi, cosine - angle * angle.sin(), value)
    return torch.where(past_zero, torch.ones_like(value), value)


class ArcFace(Margin):
    """Additive angular margin: cos(θ + m). Source: Deng et al., ArcFace, eq. 3; past π see `turned`."""

    usual = 0.5

    def target(self, cosine: Tensor, norms: Tensor, ramp: float) -> Tensor:
        return turned(cosine, torch.as_tensor(self.size * ramp).to(cosine))


class CosFace(Margin):
    """Additive cosine margin: cos θ - m. Source: Wang et al., CosFace, eq. 4."""

    usual = 0.35

    def target(self, cosine: Tensor, norms: Tensor, ramp: float) -> Tensor:
        return cosine - self.size * ramp


class SphereFace(Margin):
    """Multiplicative angular margin: ψ(θ) = (-1)^k cos(mθ) - 2k for θ in [kπ/m, (k + 1)π/m], m a whole number.

    Blended with the cosine, (λ cos θ + ψ) / (1 + λ). λ is 5 at the end, as published, and 5 / ramp on the way, which
    falls with the step as the published schedule does. Two departures: the scale is the run's, not the embedding's
    length, which a search by cosine does not see; and outside [-1, 1] ψ goes on along its tangent, of slope m².
    Source: Liu et al., SphereFace (arXiv 1704.08063); λ as their code has it.
    """

    usual = 4.0
    _LAST_LAMBDA: Final = 5.0

    def __init__(self, size: float) -> None:
        """Raises KnobRefused."""
        if not (math.isfinite(size) and size == int(size) and size >= 1):
            raise KnobRefused("sphereface multiplies the angle by a whole number", size, "Give 2, 3 or 4.")
        super().__init__(size)
        self.times = int(size)

    def target(self, cosine: Tensor, norms: Tensor, ramp: float) -> Tensor:
        share = ramp / (ramp + self._LAST_LAMBDA)
        return cosine + share * (self._psi(cosine, self.times) - cosine)

    @staticmethod
    def _psi(cosine: Tensor, times: int) -> Tensor:
        inside = cosine.clamp(-1, 1)
        folds = (times * inside.detach().acos() / math.pi).floor().clamp(max=times - 1)
        before, multiple = torch.ones_like(inside), inside  # cos(0 θ), cos(1 θ)
        for _ in range(times - 1):
            before, multiple = multiple, 2 * inside * multiple - before
        return (1 - 2 * (folds % 2)) * multiple - 2 * folds + times**2 * (cosine - inside)


class CurricularFace(ArcFace):
    """ArcFace, in which a wrong class that beats the margined target counts by `t + cos` times its cosine.

    t is the running mean of the true class's cosine, 0 at first: hard negatives weigh more as the student gets better.
    At a ramp below 1 that share of the re-weighting applies. Cosines below -1, which the paper does not know, are left.
    Source: Huang et al., CurricularFace (arXiv 2004.00288), as coded.
    """

    t: Tensor

    def __init__(self, size: float) -> None:
        super().__init__(size)
        self.register_buffer("t", torch.zeros(()))

    @torch.no_grad()
    def observe(self, cosine: Tensor, norms: Tensor) -> None:
        count, mean, _ = distributed.moments(cosine.clamp(-1, 1))
        if count > 0:
            self.t.lerp_(mean.to(self.t), 1 - _MEMORY)

    def others(self, cosines: Tensor, target: Tensor, ramp: float) -> Tensor:
        hard = (cosines > target[:, None]) & (cosines >= -1)
        return torch.where(hard, cosines * (1 + ramp * (self.t + cosines - 1)), cosines)


class AdaFace(Margin):
    """A margin by quality, told by the embedding's length: cos(θ - m z) - (m + m z), z in [-1, 1].

    z = h (|e| - μ) / (σ + ε), with running mean and deviation of the lengths, and no gradient. At z = -1 this is
    ArcFace, at 0 CosFace; above, the margin is a smaller angle and a larger cosine. The published code stops the angle
    at 0 and π; here it stops at 0 alone, and past π goes on as in `turned`, so that no face is lost for good.
    Source: Kim, Jain, Liu, AdaFace (arXiv 2204.00964), as coded.
    """

    usual = 0.4
    _SHARPNESS: Final = 0.333
    _EPSILON: Final = 1e-3
    _LENGTHS: Final = (0.001, 100.0)

    mean: Tensor
    deviation: Tensor

    def __init__(self, size: float) -> None:
        super().__init__(size)
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("deviation", torch.tensor(100.0))

    @torch.no_grad()
    def observe(self, cosine: Tensor, norms: Tensor) -> None:
        count, mean, variance = distributed.moments(norms.clamp(*self._LENGTHS))
        if count > 1:
            self.mean.lerp_(mean.to(self.mean), 1 - _MEMORY)
            self.deviation.lerp_(variance.sqrt().to(self.deviation), 1 - _MEMORY)

    def target(self, cosine: Tensor, norms: Tensor, ramp: float) -> Tensor:
        lengths = norms.detach().clamp(*self._LENGTHS)
        quality = self._SHARPNESS * (lengths - self.mean) / (self.deviation + self._EPSILON)
        shift = self.size * ramp * quality.clamp(-1, 1)
        return turned(cosine, -shift) - (self.size * ramp + shift)


MARGINS: Final[Mapping[str, type[Margin]]] = MappingProxyType(
    {
        "adaface": AdaFace,
        "arcface": ArcFace,
        "cosface": CosFace,
        "curricularface": CurricularFace,
        "sphereface": SphereFace,
    }
)


def margin_named(name: str) -> type[Margin]:
    """Raises UnknownName, which lists the names."""
    require_name("margin", name, MARGINS)
    return MARGINS[name]
