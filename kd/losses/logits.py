"""Soft targets: the student sees as much of every class in a face as its teacher does."""

from torch import Tensor

from kd import distributed
from kd.head import softmax_divergence
from kd.losses.knobs import positive
from kd.losses.step import Loss, Setting, Step


class Logits(Loss):
    """T² × KL(softmax of the teacher's logits ‖ softmax of the student's) over the inherited classifier.

    Logits are scale / T × stretched cosines (kd.head.stretched). Needs no labels.

    temperature: T; the higher, the more the unlikely classes count. T² keeps the size of the slopes.
    Source: Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network (arXiv 1503.02531), section 2. That both
    sides are cosines to the teacher's class rows is ours: the student has no logits of its own.
    """

    def __init__(self, setting: Setting, temperature: float = 4.0) -> None:
        super().__init__()
        self.head, self.scale = setting.head, setting.scale
        self.temperature = positive("temperature", temperature)

    def forward(self, step: Step) -> Tensor:
        vectors, targets = step.vectors[step.answered], step.taught[step.answered]
        rows = softmax_divergence(vectors, targets, self.head, scale=self.scale / self.temperature)
        return self.temperature**2 * distributed.mean(rows)
