"""CCKD: the student's correlations between the faces of a batch become its teacher's."""

import math
from typing import Final

from torch import Tensor

from kd.losses.knobs import positive, within
from kd.losses.relations import all_rows
from kd.losses.step import Loss, Setting, Step

_MOST: Final = 100  # of order and gamma: beyond, (2γ)^p and p! leave the range of a float


def kernel(rows: Tensor, *, order: int, gamma: float) -> Tensor:
    """The Gaussian kernel exp(-γ|x - y|²) of unit rows as its Taylor sum: (n, d) -> (n, n).

    Σ over p = 0 … P of exp(-2γ)·(2γ)^p / p!·(x·y)^p: order P has P + 1 terms.
    Source: Peng et al., Correlation Congruence (ICCV 2019). Code that was copied from it stops at P - 1,
    so that its "second order" is linear.
    """
    cosines = rows @ rows.T
    terms = [math.exp(-2 * gamma) * (2 * gamma) ** p / math.factorial(p) * cosines**p for p in range(order + 1)]
    return sum(terms[1:], terms[0])


def cckd(student: Tensor, teacher: Tensor, *, order: int, gamma: float) -> Tensor:
    """Mean over all pairs of the squared difference of the two kernels: (n, d), (n, d) unit rows -> (). 0 without rows.

    A row beside itself counts, and is 0. Source: Peng et al., the loss of correlation congruence.
    """
    gaps = kernel(student, order=order, gamma=gamma) - kernel(teacher.detach(), order=order, gamma=gamma)
    return gaps.square().sum() / max(gaps.numel(), 1)


class Cckd(Loss):
    """`cckd` over the rows of all ranks. The paper pairs it with a weight of about 0.003 and a sampler of its own.

    order: P, the highest power of the cosine. gamma: γ, per squared distance of unit rows. Both up to 100.
    """

    anchored = False

    def __init__(self, setting: Setting, order: int = 2, gamma: float = 0.4) -> None:  # noqa: ARG002
        super().__init__()
        self.order = int(within("order", order, 1, _MOST))
        self.gamma = within("gamma", positive("gamma", gamma), 0, _MOST)

    def forward(self, step: Step) -> Tensor:
        student, teacher, _ = all_rows(step)
        return cckd(student, teacher, order=self.order, gamma=self.gamma)
