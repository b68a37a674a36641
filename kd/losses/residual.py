"""Residual distillation: an assistant learns what a low-resolution student lacks of its sharp-sighted teacher."""

from torch import Tensor

from kd import distributed
from kd.errors import UnknownName
from kd.losses.l2 import squared_distance
from kd.losses.step import Loss, Setting, Step


def residual(base: Tensor, assistant: Tensor, targets: Tensor) -> Tensor:
    """|base - t|² + |(t - base) - assistant|² of each row: (n, d), (n, d), (n, d) -> (n,).

    The base is learnt from the first term alone: as part of the second's target it gets no gradient (kd.losses.l2).
    """
    return squared_distance(base, targets) + squared_distance(assistant, targets - base)


class Residual(Loss):
    """`residual`, of a student of two halves whose sum is its embedding. Its teacher sees the view as it was, sharp.

    Raises UnknownName where the student is of one piece: see kd.backbones.residual.

    Source: Kong et al., Cross-Resolution Face Recognition via Prior-Aided Face Hallucination and Residual Knowledge
    Distillation (arXiv 1905.10777). The squared distance as criterion, and its use on the output alone where they have
    four stages as well, are our reading. Their code steps the wrong optimiser, so that its assistant never learns.
    """

    sharp_teacher = True

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.width = float(1 - setting.head.floor)

    def forward(self, step: Step) -> Tensor:
        if step.halves is None:
            raise UnknownName("a method for students of two halves", "residual", "Choose a --backbone residual:NAME.")
        base, assistant = (half[step.answered] for half in step.halves)
        return distributed.mean(residual(base, assistant, step.taught[step.answered])) / self.width
