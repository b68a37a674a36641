"""EKD: a pair's rank among the negative pairs, which is what an evaluation at a fixed false match rate looks at."""

from typing import Final

import torch
from torch import Tensor

from kd.losses.knobs import at_least
from kd.losses.knobs import positive as above_zero
from kd.losses.relations import all_rows
from kd.losses.step import Loss, Setting, Step

RATES: Final = tuple(10.0**-k for k in range(1, 7))
"""False match rates at which a network's thresholds lie."""


def pairs(rows: Tensor) -> Tensor:
    """Cosines of all pairs of different rows: (n, d) unit rows -> (n·(n - 1) / 2,)."""
    first, second = torch.triu_indices(len(rows), len(rows), offset=1, device=rows.device)
    return (rows @ rows.T)[first, second]


def thresholds(negatives: Tensor) -> Tensor:
    """For each of RATES, the cosine that so many of the negative pairs exceed: (m,), m ≥ 1 -> (6,). No gradient.

    The (m // 10^k)-th largest, counted from 0: with few pairs, several are the largest.
    """
    places = torch.tensor([len(negatives) // 10**k for k in range(1, len(RATES) + 1)], device=negatives.device)
    return negatives.detach().sort(descending=True).values[places]


def soft_ranks(cosines: Tensor, at: Tensor, *, temperature: float) -> Tensor:
    """How many thresholds each cosine exceeds, smoothed: (p,), (k,) -> (p,), from 0 to k."""
    return ((cosines[:, None] - at) / temperature).sigmoid().sum(dim=1)


def rank_gap(ours: Tensor, theirs: Tensor, at: Tensor, *, temperature: float) -> Tensor:
    """Mean squared difference of the soft ranks of the same pairs: (p,), (p,) cosines -> (). 0 without pairs.

    at: (2, k), the student's thresholds and the teacher's.
    """
    gaps = soft_ranks(ours, at[0], temperature=temperature) - soft_ranks(
        theirs.detach(), at[1], temperature=temperature
    )
    return gaps.square().sum() / max(len(gaps), 1)


class Ekd(Loss):
    """`positive` × the gap of positive pairs + `negative` × that of the negative pairs which the student finds hardest.

    Pairs are those of the labelled rows of all ranks. A network's thresholds are a running mean over batches, divided
    by the weight that it has gathered so far: the authors' begins at zero and is too low for hundreds of steps.
    They add a margin softmax (`proxyless+ekd`, or `none+ekd`) and draw half a batch so that people come four times;
    in a batch without positive pairs there is nothing to learn but the hard negatives.

    hardest: so many negative pairs at most. momentum: share of a batch in the running mean. temperature: cosine.
    Source: Huang et al., EKD (CVPR 2022), as its code has it.
    """

    anchored = False
    running: Tensor
    weight: Tensor

    def __init__(
        self,
        setting: Setting,  # noqa: ARG002
        positive: float = 0.02,
        negative: float = 0.01,
        hardest: int = 2000,
        momentum: float = 0.01,
        temperature: float = 0.01,
    ) -> None:
        super().__init__()
        self.positive, self.negative = at_least("positive", positive, 0), at_least("negative", negative, 0)
        self.hardest = int(at_least("hardest", hardest, 0))
        self.momentum, self.temperature = above_zero("momentum", momentum), above_zero("temperature", temperature)
        self.register_buffer("running", torch.zeros(2, len(RATES), dtype=torch.float64))
        self.register_buffer("weight", torch.zeros((), dtype=torch.float64))

    def forward(self, step: Step) -> Tensor:
        student, teacher, labels = all_rows(step)
        known = labels >= 0
        ours, theirs, labels = pairs(student[known]), pairs(teacher[known]), labels[known]
        first, second = torch.triu_indices(len(labels), len(labels), offset=1, device=labels.device)
        same = labels[first] == labels[second]
        if same.all():  # also where there is no pair at all: nothing to rank among
            return ours.sum() * 0
        strangers, to_teacher = ours[~same], theirs[~same]
        at = self._observe(torch.stack([thresholds(strangers), thresholds(to_teacher)])).to(ours.dtype)
        hard = strangers.detach().topk(min(self.hardest, len(strangers))).indices
        mates = rank_gap(ours[same], theirs[same], at, temperature=self.temperature)
        hardest = rank_gap(strangers[hard], to_teacher[hard], at, temperature=self.temperature)
        return self.positive * mates + self.negative * hardest

    def _observe(self, batch: Tensor) -> Tensor:
        """This batch's thresholds, (2, 6) -> the means over batches so far."""
        self.running.lerp_(batch.to(self.running), self.momentum)
        self.weight.lerp_(torch.ones_like(self.weight), self.momentum)
        return self.running / self.weight
