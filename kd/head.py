"""The inherited classifier as a network's last layer, frozen."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FrozenHead(nn.Module):
    """Cosines to the teacher's class weights. They are a buffer: no optimiser can find them.

    A teacher trained without a margin keeps all faces in a cone (dlib: two strangers' cosine is about 0.83), where a
    margin of 0.35 cannot be met by anybody. So cosines are stretched to `(cos - floor) / (1 - floor)`, with floor the
    mean cosine between two class weights: two unrelated classes are then at 0, as in a space that is spread out, and
    margins and scales keep the meaning they have in the papers. In such a space floor is 0 and nothing changes.
    docs/decisions/0003-margins-in-a-cone.md
    """

    centres: Tensor
    floor: Tensor

    def __init__(self, weights: Tensor) -> None:
        """weights: (classes, dim), rows of any length."""
        super().__init__()
        centres = F.normalize(weights.detach().float(), dim=1)
        self.register_buffer("centres", centres)
        self.register_buffer("floor", mean_cosine(centres).clamp(min=0))

    def forward(self, vectors: Tensor) -> Tensor:
        """(n, dim) unit rows -> (n, classes) stretched cosines."""
        return (vectors @ self.centres.T - self.floor) / (1 - self.floor)


def mean_cosine(unit_rows: Tensor) -> Tensor:
    """Mean cosine between two different rows: (n, dim) -> (). Zero for a single row."""
    count = len(unit_rows)
    total = unit_rows.sum(dim=0).square().sum() - count
    return total / max(count * (count - 1), 1)


def unit(vectors: Tensor) -> Tensor:
    """Rows of unit length, in float32 whatever they were computed in."""
    return F.normalize(vectors.to(torch.float32), dim=1)
