"""Backward-compatible training: a classifier of one's own, under the influence of the inherited one."""

from torch import Tensor

from kd.losses.knobs import at_least
from kd.losses.none import Own
from kd.losses.proxyless import Proxyless
from kd.losses.step import Loss, Setting, Step


class Bct(Loss):
    """`none` + `weight` × `proxyless`: margin softmax over the new classifier and over the frozen old one.

    Rows labelled -1 do not count. Classes that the old model never saw have its class means for rows, which is what
    the inherited classifier holds where it was made from means.

    weight: λ of the influence of the old classifier.
    Source: Shen et al., Towards Backward-Compatible Representation Learning (CVPR 2020), with its influence loss.
    λ = 1 is from the literature; the margin in both terms is ours.
    """

    asks_teacher = False

    def __init__(self, setting: Setting, weight: float = 1.0) -> None:
        super().__init__()
        self.new, self.old = Own(setting), Proxyless(setting)
        self.weight = at_least("weight", weight, 0)

    def forward(self, step: Step) -> Tensor:
        new: Tensor = self.new(step)
        old: Tensor = self.old(step)
        return new + self.weight * old
