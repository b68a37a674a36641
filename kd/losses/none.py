"""Plain training, from nobody: margin softmax over a classifier of one's own."""

from torch import Tensor

from kd import distributed
from kd.head import TrainableHead, margin_cross_entropy
from kd.losses.step import Loss, Setting, Step


class Own(Loss):
    """Margin softmax over a classifier that is trained with the network. Rows labelled -1 do not count.

    How teachers are trained, and what a student without one is worth: its space is its own. Not anchored, since its
    classifier turns with the network.
    """

    asks_teacher = False
    anchored = False

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.head = TrainableHead(setting.classes, setting.dim)
        self.margin, self.scale = setting.new_margin(), setting.scale

    def forward(self, step: Step) -> Tensor:
        rows = margin_cross_entropy(
            step.vectors, step.raw, step.labels, self.head, self.margin, scale=self.scale, ramp=step.ramp
        )
        return distributed.mean(rows)
