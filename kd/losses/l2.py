"""Regression onto the teacher's embedding, its length included."""

from torch import Tensor

from kd import distributed
from kd.losses.step import Loss, Setting, Step


def squared_distance(raw: Tensor, targets: Tensor) -> Tensor:
    """Squared Euclidean distance of each pair: (n, d), (n, d) -> (n,). No gradient reaches the targets."""
    return (raw - targets.detach()).square().sum(dim=1)


class L2(Loss):
    """`squared_distance` of the student's raw rows to the teacher's unit rows.

    The student has to learn the length 1 as well; that is what separates this from `cosine`, of which it is twice
    the value once it has. Like `cosine` it is in the measure of the teacher's cone
    (docs/decisions/0003-margins-in-a-cone.md).
    Source: the L2 baseline of Shi et al., ProxylessKD (arXiv 2011.00265), and the regression that Budnik & Avrithis
    (arXiv 2006.16331) found best for asymmetric search. That the teacher's rows have length 1 is our reading.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.width = float(1 - setting.head.floor)

    def forward(self, step: Step) -> Tensor:
        rows = squared_distance(step.raw[step.answered], step.taught[step.answered])
        return distributed.mean(rows) / self.width
