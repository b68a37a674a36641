"""Regression onto the direction of the teacher's embedding."""

from torch import Tensor

from kd import distributed
from kd.losses.step import Loss, Setting, Step


def cosine(vectors: Tensor, targets: Tensor) -> Tensor:
    """1 - cos of each pair: (n, d) unit rows, (n, d) unit rows -> (n,). No gradient reaches the targets.

    For unit rows this is half the squared Euclidean distance.
    """
    return 1 - (vectors * targets.detach()).sum(dim=1)


class Cosine(Loss):
    """`cosine`, in the measure of the teacher's cone (docs/decisions/0003-margins-in-a-cone.md)."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.width = float(1 - setting.head.floor)

    def forward(self, step: Step) -> Tensor:
        rows = cosine(step.vectors[step.answered], step.taught[step.answered])
        return distributed.mean(rows) / self.width
