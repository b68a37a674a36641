"""ProxylessKD: the student is trained on the classifier that its teacher was trained with."""

from torch import Tensor

from kd import distributed
from kd.head import margin_cross_entropy
from kd.losses.step import Loss, Setting, Step


class Proxyless(Loss):
    """Margin softmax over the inherited classifier, which never changes. No teacher is asked.

    Rows labelled -1 do not count. Source: Shi, Ren, Chen, Yan, ProxylessKD (arXiv 2011.00265).
    """

    asks_teacher = False

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.head, self.margin, self.scale = setting.head, setting.new_margin(), setting.scale

    def forward(self, step: Step) -> Tensor:
        rows = margin_cross_entropy(
            step.vectors, step.raw, step.labels, self.head, self.margin, scale=self.scale, ramp=step.ramp
        )
        return distributed.mean(rows)
