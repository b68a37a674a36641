"""MarginDistillation: the clearer a face is to the teacher, the larger the margin that the student has to keep."""

import math
from typing import Final

import torch
from torch import Tensor

from kd import distributed
from kd.head import margin_cross_entropy, stretched
from kd.losses.knobs import within
from kd.losses.step import Loss, Setting, Step
from kd.margins import Margin, turned

_NOTHING: Final = 1e-6  # a batch in which the teacher knows nobody gets the least margin throughout


def margin_of(clarity: Tensor, clearest: Tensor, *, least: float, most: float) -> Tensor:
    """least + (most - least)·d / max d: (n,), () -> (n,), radians. d: the teacher's cosines to the true class.

    Source: Svitov & Alyamkin, MarginDistillation (arXiv 2003.02586), as coded: of cosines, not of angles. Theirs falls
    below `least` for a negative cosine; here such a face gets `least`.
    """
    return least + (most - least) * clarity.clamp(min=0) / clearest.clamp(min=_NOTHING)


class FaceMargins(Margin):
    """ArcFace with an angle for each row: cos(θ + m)."""

    def __init__(self, angles: Tensor) -> None:
        """angles: (n,), radians in [0, π/2], of the rows that `target` will be asked for."""
        super().__init__(size=0)
        self.angles = angles

    def target(self, cosine: Tensor, norms: Tensor, ramp: float) -> Tensor:  # noqa: ARG002
        return turned(cosine, self.angles * ramp)


class MarginDistillation(Loss):
    """Softmax over the inherited classifier with an angular margin for each face: `margin_of` what its teacher sees.

    Cosines are stretched (kd.head.stretched), the teacher's too: in a cone all would be near their maximum. The
    maximum is that of the batch of all ranks, where the authors' code takes each device's. The run's own margin has no
    part in this one. Rows labelled -1 do not count.

    least, most: radians, up to π/2.
    """

    def __init__(self, setting: Setting, least: float = 0.2, most: float = 0.5) -> None:
        super().__init__()
        self.head, self.scale = setting.head, setting.scale
        self.most = within("most", most, 0, math.pi / 2)
        self.least = within("least", least, 0, most)

    def forward(self, step: Step) -> Tensor:
        known = (step.labels >= 0) & step.answered
        labels = step.labels[known]
        clarity = stretched((step.taught[known] * self.head.of(labels)).sum(dim=1), self.head.floor)
        clearest = distributed.highest(torch.cat([clarity, clarity.new_zeros(1)]).max())
        margin = FaceMargins(margin_of(clarity, clearest, least=self.least, most=self.most))
        rows = margin_cross_entropy(
            step.vectors[known], step.raw[known], labels, self.head, margin, scale=self.scale, ramp=step.ramp
        )
        return distributed.mean(rows)
