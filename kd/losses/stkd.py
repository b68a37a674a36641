"""STKD: similarities learnt from virtual faces, each a blend of two people."""

from typing import Final

import torch
from torch import Tensor

from kd import distributed
from kd.head import ClassRows, margin_cross_entropy
from kd.losses.cosine import cosine
from kd.losses.knobs import at_least
from kd.losses.step import Blend, Loss, Setting, Step
from kd.margins import Margin

_EVEN: Final = 0.2  # shares nearer to a half than this show nobody clearly enough for a margin


def blended_cross_entropy(
    vectors: Tensor, raw: Tensor, blend: Blend, rows: ClassRows, margin: Margin, *, scale: float, ramp: float
) -> Tensor:
    """share·CE(x, first) + (1 - share)·CE(x, second): (n, d) unit, (n, d) -> (k,), of the k views of a known person.

    A person nobody knows drops out, with their share. The margin is that of `margin`, and none where `share` lies in
    (0.3, 0.7): a face that is two people's cannot be far on one's side.
    """
    labels = torch.stack([blend.first, blend.second], dim=1)  # (n, 2)
    shares = torch.stack([blend.share, 1 - blend.share], dim=1).to(vectors)
    shown = (labels >= 0) & (shares > 0)
    even = ((blend.share - 0.5).abs() < _EVEN)[:, None]
    losses = torch.zeros_like(shares)
    for chosen, its_margin in ((shown & ~even, margin), (shown & even, Margin(0))):
        view = chosen.nonzero()[:, 0]
        rows_of_chosen = margin_cross_entropy(
            vectors[view], raw[view], labels[chosen], rows, its_margin, scale=scale, ramp=ramp
        )
        losses = losses.masked_scatter(chosen, rows_of_chosen)
    return (shares * losses).sum(dim=1)[shown.any(dim=1)]


class Stkd(Loss):
    """`blended_cross_entropy` over the inherited classifier + `beta` × 1 - cos to the teacher's embedding of the blend.

    The teacher is asked about the blend itself: a blend of its two answers is another point.
    Source: Zhao et al., Similarity Transfer for Knowledge Distillation (arXiv 2103.10047), whose students are
    classifiers with logits of their own and whose weights we have not seen. The form for embeddings is our reading.
    """

    def __init__(self, setting: Setting, beta: float = 1.0) -> None:
        super().__init__()
        self.head, self.margin, self.scale = setting.head, setting.new_margin(), setting.scale
        self.beta = at_least("beta", beta, 0)
        self.width = float(1 - setting.head.floor)

    def forward(self, step: Step) -> Tensor:
        people = blended_cross_entropy(
            step.vectors, step.raw, step.blend, self.head, self.margin, scale=self.scale, ramp=step.ramp
        )
        likeness = cosine(step.vectors[step.answered], step.taught[step.answered])
        return distributed.mean(people) + self.beta * distributed.mean(likeness) / self.width
