"""RKD: distances between the student's faces, and angles in their triangles, become its teacher's."""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from kd.losses.knobs import at_least
from kd.losses.relations import all_rows
from kd.losses.step import Loss, Setting, Step

_CHUNK: Final = 16  # vertices whose triangles exist at one time
_NO_LENGTH: Final = 1e-12  # squared: two rows so near have no direction to one another


def distance_gap(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 of the distances of all pairs, each network's divided by its mean: (n, d), (n, d) -> ().

    0 with fewer than two rows, or where either network puts all rows into one point. Two equal rows have a distance
    of 0, and no slope.
    Source: Park et al., RKD (CVPR 2019), section 3.2.1, as a mean over pairs of different rows. The authors' code takes
    the mean over n² entries with the diagonal's zeros, which is (n - 1) / n of this.
    """
    ours, theirs = torch.pdist(student), torch.pdist(teacher.detach())
    if not (ours.any() and theirs.any()):
        return student.sum() * 0
    return F.smooth_l1_loss(ours / ours.mean(), theirs / theirs.mean())


def angle_gap(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 of the cosines at every vertex of every triangle of different rows: (n, d), (n, d) -> ().

    Triangles in which a network has two equal rows have no angle there, and do not count. 0 where none is left.
    The n³ cosines are made for a few vertices at a time, forward and again backward: memory is n·(n + d).
    Source: Park et al., RKD, section 3.2.2, as a mean over triangles. The authors' code keeps n²·d and n³ numbers and
    divides by n³, flat triangles included.
    """
    parts = [
        checkpoint(_angles, student, teacher.detach(), vertices, use_reentrant=False)
        for vertices in torch.split(torch.arange(len(student), device=student.device), _CHUNK)
    ]
    if not parts:
        return student.sum() * 0
    gaps, counts = zip(*parts, strict=True)
    return torch.stack(gaps).sum() / torch.stack(counts).sum().clamp(min=1)


def _angles(student: Tensor, teacher: Tensor, vertices: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the gaps at some vertices, (v,) indices of rows, and how many there are."""
    (ours, here), (theirs, there) = _arms(student, vertices), _arms(teacher, vertices)
    arm = here & there
    counts = arm[:, :, None] & arm[:, None, :] & ~torch.eye(len(student), dtype=torch.bool, device=arm.device)
    gaps = F.smooth_l1_loss(ours @ ours.mT, theirs @ theirs.mT, reduction="none")
    return gaps.masked_fill(~counts, 0).sum(), counts.sum()


def _arms(rows: Tensor, vertices: Tensor) -> tuple[Tensor, Tensor]:
    """Unit directions from each vertex to all rows, (v, n, d), zero where there is none; (v, n), where there is one."""
    arms = rows - rows[vertices][:, None]
    squared = arms.square().sum(dim=2, keepdim=True)
    present = squared > _NO_LENGTH
    return arms * present * squared.where(present, torch.ones_like(squared)).rsqrt(), present[:, :, 0]


class Rkd(Loss):
    """`distance` × the gap of distances + `angle` × the gap of angles, over the rows of all ranks.

    The authors' weights; a comparison on classifiers used 25 and 50. They compare rows of any length; here rows have
    unit length, as whoever searches by cosine will see them.
    """

    anchored = False

    def __init__(self, setting: Setting, distance: float = 1.0, angle: float = 2.0) -> None:  # noqa: ARG002
        super().__init__()
        self.distance, self.angle = at_least("distance", distance, 0), at_least("angle", angle, 0)

    def forward(self, step: Step) -> Tensor:
        student, teacher, _ = all_rows(step)
        return self.distance * distance_gap(student, teacher) + self.angle * angle_gap(student, teacher)
