"""AdaDistill: class centres of the teacher's embeddings that become steadier as the student gets closer to it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kd import distributed
from kd.head import margin_cross_entropy, stretched
from kd.losses.knobs import one_of
from kd.losses.step import Loss, Setting, Step

_LEAST: Final = 1e-6  # alpha is never 0


Weighting = Callable[[Tensor, Tensor], Tensor]
"""The teacher's cosines to the student (n,) and to the class centre (n,) -> alpha (n,): what the centre keeps."""


def plain(ours: Tensor, centres: Tensor) -> Tensor:  # noqa: ARG001
    """As much as the student agrees with its teacher on this face.

    The authors' code subtracts a constant as well, which it never defines.
    """
    return ours.clamp(_LEAST, 1)


def weighted(ours: Tensor, centres: Tensor) -> Tensor:
    """`plain`, less where the teacher's embedding of this face is far from its centre: a hard face moves it more."""
    return (ours * centres.clamp(_LEAST, 1)).clamp(_LEAST, 1)


WEIGHTINGS: Final[Mapping[str, Weighting]] = MappingProxyType({"plain": plain, "weighted": weighted})


def moved(old: Tensor, teacher: Tensor, keep: Tensor) -> Tensor:
    """alpha·K + (1 - alpha)·t: centres (n, d), the teacher's unit rows (n, d), alpha (n,) -> (n, d)."""
    return keep[:, None] * old + (1 - keep[:, None]) * teacher


class Centres(nn.Module):
    """One row for each class, of any length; as kd.head.ClassRows, of unit length. No optimiser can find them."""

    table: Tensor
    floor: Tensor

    def __init__(self, classes: int, dim: int, floor: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", torch.randn(classes, dim) * 0.01)
        self.register_buffer("floor", floor, persistent=False)

    @property
    def count(self) -> int:
        return len(self.table)

    @property
    def held(self) -> range:
        return range(self.count)

    def of(self, labels: Tensor) -> Tensor:
        return F.normalize(self.table[labels], dim=1)

    def chunk(self, start: int, stop: int) -> Tensor:
        return F.normalize(self.table[start:stop], dim=1)

    @torch.no_grad()
    def update(self, student: Tensor, teacher: Tensor, labels: Tensor, weighting: Weighting) -> None:
        """Move the centres of the classes seen: (n, d) and (n, d) unit rows, (n,) int64, none below 0.

        A class that is seen several times moves to the mean of where each of its faces would have moved it, whatever
        their order; the authors' code keeps whichever was written last.
        """
        ours = stretched((student * teacher).sum(dim=1), self.floor)
        centres = stretched((self.of(labels) * teacher).sum(dim=1), self.floor)
        proposed = moved(self.table[labels], teacher, weighting(ours, centres))
        seen = torch.unique(labels)
        member = (seen[:, None] == labels).to(proposed)  # (seen, n); a product, since scattered sums vary on a GPU
        self.table[seen] = member @ proposed / member.sum(dim=1, keepdim=True)


class AdaDistill(Loss):
    """Margin softmax over `Centres`, which the rows of all ranks move first. Rows labelled -1 do not count.

    A class that was never seen stays a random stranger to all others. Cosines are stretched by the floor of the
    inherited classifier (kd.head.stretched); nothing else of it is used.

    weighting: `weighted` or `plain`.
    Source: Boutros, Struc, Damer, AdaDistill (ECCV 2024, arXiv 2407.01332).
    """

    def __init__(self, setting: Setting, weighting: str = "weighted") -> None:
        super().__init__()
        self.weighting = WEIGHTINGS[one_of("weighting", weighting, WEIGHTINGS)]
        self.centres = Centres(setting.classes, setting.dim, setting.head.floor)
        self.margin, self.scale = setting.new_margin(), setting.scale

    def forward(self, step: Step) -> Tensor:
        student, teacher, labels = (distributed.gathered(rows) for rows in (step.vectors, step.taught, step.labels))
        known = (labels >= 0) & ~teacher.isnan().any(dim=1)
        self.centres.update(student[known], teacher[known], labels[known], self.weighting)
        rows = margin_cross_entropy(
            step.vectors, step.raw, step.labels, self.centres, self.margin, scale=self.scale, ramp=step.ramp
        )
        return distributed.mean(rows)
