"""What every method's test is made of: a small classifier in float64, batches, and a softmax row by row."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kd.losses.step import Blend, Setting, Step
from kd.margins import CosFace
from tests.kd.losses.relational import unit_rows

CLASSES, DIM, SCALE, MARGIN = 5, 4, 8.0, 0.2
FLOOR = 0.25  # of a cone, so that a forgotten stretch shows
PHOTOS = (1, 2, 2, 30, 40)
SUBSETS = (range(2, 10), range(10, 100))


class Rows:
    """An inherited classifier that keeps float64."""

    def __init__(self, rows: Tensor, floor: float = FLOOR) -> None:
        self.rows, self.floor = rows, torch.tensor(floor, dtype=torch.float64)

    @property
    def count(self) -> int:
        return len(self.rows)

    @property
    def held(self) -> range:
        return range(self.count)

    def of(self, labels: Tensor) -> Tensor:
        return self.rows[labels]

    def chunk(self, start: int, stop: int) -> Tensor:
        return self.rows[start:stop]


def inherited(turn: Tensor | None = None, floor: float = FLOOR) -> Rows:
    rows = unit_rows(CLASSES, DIM, seed=10)
    return Rows(rows if turn is None else rows @ turn, floor)


def setting(rows: Rows | None = None, *, photos: Sequence[int] = PHOTOS, subsets: Sequence[range] = SUBSETS) -> Setting:
    """Of a run with the margin of CosFace."""
    return Setting(
        inherited() if rows is None else rows, DIM, torch.tensor(photos), SCALE, lambda: CosFace(MARGIN), tuple(subsets)
    )


def student_rows(count: int, *, seed: int = 0) -> Tensor:
    """(count, DIM) raw rows of length about 2, float64."""
    return 2 * torch.randn(count, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def step(
    raw: Tensor,
    labels: Sequence[int],
    targets: Tensor | None = None,
    *,
    second: Sequence[int] | None = None,
    share: Sequence[float] | None = None,
    ramp: float = 1.0,
) -> Step:
    """A batch. Its halves, which `residual` alone looks at, are two unequal parts of `raw`."""
    first = torch.tensor(labels, dtype=torch.int64)
    other = torch.full_like(first, -1) if second is None else torch.tensor(second, dtype=torch.int64)
    shares = torch.ones(len(first)) if share is None else torch.tensor(share)
    return Step(
        raw=raw,
        vectors=F.normalize(raw, dim=1),
        labels=first.masked_fill(shares < 1, -1),
        blend=Blend(first, other, shares),
        targets=targets,
        halves=(0.75 * raw, 0.25 * raw),
        ramp=ramp,
    )


def stretched(cosine: float, floor: float = FLOOR) -> float:
    return (cosine - floor) / (1 - floor)


def cosines(vector: Tensor, rows: Tensor, floor: float = FLOOR) -> list[float]:
    """Stretched cosines of one vector of any length to some rows of any length, number by number."""
    return [stretched(dot(vector, row) / math.sqrt(dot(vector, vector) * dot(row, row)), floor) for row in rows]


def dot(a: Tensor, b: Tensor) -> float:
    return sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))


def cross_entropy(
    vector: Tensor, label: int, rows: Tensor, *, margin: float = MARGIN, floor: float = FLOOR, scale: float = SCALE
) -> float:
    """Softmax cross-entropy of one vector with CosFace's margin, as printed."""
    logits = [scale * (c - margin * (j == label)) for j, c in enumerate(cosines(vector, rows, floor))]
    return math.log(sum(map(math.exp, logits))) - logits[label]
