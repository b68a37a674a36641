"""Class weights as a network's last layer: inherited and frozen, or a teacher's own, trained.

Logits are made a chunk of classes at a time, so that memory does not grow with batch × classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint

from kd import distributed
from kd.errors import require_name
from kd.margins import Margin

CHUNK: Final = 4_096
"""Classes whose logits exist at one time."""

STORES: Final[Mapping[str, torch.dtype]] = MappingProxyType(
    {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
)
"""What frozen rows may be kept in."""

_LARGEST_CODE: Final = 127
_TINY: Final = 1e-12


class ClassRows(Protocol):
    """Unit rows, one for each class. Either every rank holds all, or each a shard."""

    floor: Tensor
    """(): the mean cosine between two rows where that is positive, see `stretched`."""

    @property
    def count(self) -> int:
        """Of all classes."""
        ...

    @property
    def held(self) -> range:
        """The classes whose rows are on this rank."""
        ...

    def of(self, labels: Tensor) -> Tensor:
        """(n,) int64, of any class -> (n, dim) float32 unit rows. Every rank has to ask at the same time."""
        ...

    def chunk(self, start: int, stop: int) -> Tensor:
        """The rows of classes start to stop, all of them held here: (c, dim) float32, of unit length."""
        ...


class FrozenHead(nn.Module):
    """The inherited classifier. Its rows are buffers: no optimiser can find them, and no gradient is kept for them.

    Each row has a scale of its own, by which it is of unit length in whatever it is stored.
    """

    rows: Tensor
    scales: Tensor
    floor: Tensor

    def __init__(self, weights: Tensor, store: str = "float32", *, sharded: bool = False) -> None:
        """weights: (classes, dim), rows of any length, of all classes; read a chunk at a time.

        store: a name in STORES; int8 is a quarter of float32's size. sharded: keep `distributed.share` of the classes;
        all ranks have to build the head at the same time. Raises UnknownName for another store.
        """
        super().__init__()
        require_name("store", store, STORES)
        self.count, dim = weights.shape
        share = distributed.share(self.count) if sharded else slice(0, self.count)
        self.held = range(share.start, share.stop)
        self.sharded = sharded
        rows, scales = torch.empty(len(self.held), dim, dtype=STORES[store]), torch.empty(len(self.held), 1)
        summed = torch.zeros(dim, dtype=torch.float64)
        for start in range(0, len(self.held), CHUNK):
            part = slice(start, min(start + CHUNK, len(self.held)))
            exact = unit(weights.detach()[share][part])
            rows[part] = _coded(exact, STORES[store])
            scales[part] = 1 / rows[part].float().norm(dim=1, keepdim=True).clamp(min=_TINY)
            summed += exact.sum(dim=0, dtype=torch.float64)
        floor = _mean_cosine(distributed.total(summed) if sharded else summed, self.count)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("scales", scales, persistent=False)
        self.register_buffer("floor", floor.float().clamp(min=0), persistent=False)

    def of(self, labels: Tensor) -> Tensor:
        if not self.sharded:
            return self._read(labels)
        asked = distributed.gathered(labels)
        here = (asked >= self.held.start) & (asked < self.held.stop)
        rows = self.scales.new_zeros(len(asked), self.rows.shape[1])
        rows[here] = self._read(asked[here] - self.held.start)
        return distributed.total(rows)[distributed.gathered_here(len(labels), labels.device)]

    def chunk(self, start: int, stop: int) -> Tensor:
        return self._read(slice(start - self.held.start, stop - self.held.start))

    def _read(self, which: Tensor | slice) -> Tensor:
        rows = self.rows[which]
        return rows if rows.dtype == torch.float32 else rows.float().mul_(self.scales[which])


class TrainableHead(nn.Module):
    """A classifier of one's own, trained with the network; every rank holds all of it."""

    floor: Tensor

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(classes, dim) * 0.01)
        self.register_buffer("floor", torch.zeros(()), persistent=False)

    @property
    def count(self) -> int:
        return len(self.weights)

    @property
    def held(self) -> range:
        return range(self.count)

    def of(self, labels: Tensor) -> Tensor:
        return F.normalize(self.weights[labels], dim=1)

    def chunk(self, start: int, stop: int) -> Tensor:
        return F.normalize(self.weights[start:stop], dim=1)


def margin_cross_entropy(
    vectors: Tensor,
    raw: Tensor,
    labels: Tensor,
    rows: ClassRows,
    margin: Margin,
    *,
    scale: float,
    ramp: float,
    chunk: int = CHUNK,
) -> Tensor:
    """Softmax cross-entropy over margin logits: (n, dim) unit, (n, dim), (n,) int64 -> (k,), of the k labelled rows.

    Rows labelled -1 are left out; k may be 0. `margin` observes the batch where it is in training.
    """
    known = labels >= 0
    vectors, norms, labels = vectors[known], raw[known].norm(dim=1), labels[known]
    cosine = stretched((vectors * rows.of(labels)).sum(dim=1), rows.floor)
    if margin.training:
        margin.observe(cosine.detach(), norms.detach())
    target = margin.target(cosine, norms, ramp)
    softmax = _Softmax(rows, margin, scale, ramp, chunk)
    return softmax.normaliser(vectors, target, labels) - scale * target


def softmax_divergence(
    vectors: Tensor, targets: Tensor, rows: ClassRows, *, scale: float, chunk: int = CHUNK
) -> Tensor:
    """KL(softmax of the teacher's logits ‖ softmax of the student's): (n, dim), (n, dim) unit rows -> (n,).

    Logits are `scale` × stretched cosines. No gradient reaches the targets or the rows. Logits being linear in the
    vector, this is L(v) - L(t) - ⟨∇L(t), v - t⟩ of L, the log of the sum of exponentials (its Bregman
    divergence): no softmax is ever whole.
    """
    softmax = _Softmax(rows, Margin(0.0), scale, 0.0, chunk)
    nobody = torch.full((len(vectors),), -1, device=vectors.device)
    unused = vectors.new_zeros(len(vectors))
    with torch.enable_grad():
        taught = targets.detach().to(vectors).requires_grad_()
        theirs = softmax.normaliser(taught, unused, nobody)
        (slope,) = torch.autograd.grad(theirs.sum(), taught)
    ours = softmax.normaliser(vectors, unused, nobody)
    return ours - theirs.detach() - (slope * (vectors - taught.detach())).sum(dim=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Softmax:
    """The softmax over all classes of `rows`, by chunks."""

    rows: ClassRows
    margin: Margin
    scale: float
    ramp: float
    chunk: int

    def normaliser(self, vectors: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        """Log of the sum of exponentials of all logits: (n, dim) unit, (n,) margined, (n,) int64 or -1 -> (n,)."""
        if len(self.rows.held) == self.rows.count:
            return self._held(vectors, target, labels)
        part = self._held(distributed.gather(vectors), distributed.gather(target), distributed.gathered(labels))
        top = distributed.highest(part)
        whole = top + distributed.total((part - top).exp()).log()
        return whole[distributed.gathered_here(len(vectors), vectors.device)]

    def _held(self, vectors: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        """`normaliser` over the classes held here alone; -inf where there are none."""
        if not self.rows.chunk(self.rows.held.start, self.rows.held.start).requires_grad:
            return _FrozenSum.apply(vectors, target, labels, self)  # type: ignore[no-untyped-call, no-any-return]
        parts = [
            checkpoint(self.part, vectors, target, labels, start, use_reentrant=False, preserve_rng_state=False)
            for start in self.rows.held[:: self.chunk]
        ]
        return torch.stack(parts).logsumexp(dim=0)

    def part(self, vectors: Tensor, target: Tensor, labels: Tensor, start: int) -> Tensor:
        """`normaliser` over one chunk."""
        stop = min(start + self.chunk, self.rows.held.stop)
        cosines = stretched(vectors @ self.rows.chunk(start, stop).to(vectors.dtype).T, self.rows.floor)
        logits = self.scale * self.margin.others(cosines, target, self.ramp)
        own = ((labels >= start) & (labels < stop)).nonzero()[:, 0]
        logits = logits.index_put((own, labels[own] - start), self.scale * target[own])
        return logits.logsumexp(dim=1)


class _FrozenSum(Function):
    """`_Softmax._held`, of rows that do not learn: value and slope in one pass, each chunk read once.

    The slope of a log of a sum of exponentials is the mean of its parts' slopes, weighted by what each part adds to
    the sum; so a running sum and a running slope are all that is kept.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, target: Tensor, labels: Tensor, softmax: _Softmax) -> Tensor:
        summed = torch.full_like(target, -torch.inf)
        by_vector, by_target = torch.zeros_like(vectors), torch.zeros_like(target)
        for start in softmax.rows.held[:: softmax.chunk] if len(vectors) else ():
            with torch.enable_grad():
                moving = vectors.detach().requires_grad_(), target.detach().requires_grad_()
                part = softmax.part(*moving, labels, start)
                of_part = torch.autograd.grad(part.sum(), moving)
            joined = torch.logaddexp(summed, part.detach())
            before, now = (summed - joined).exp(), (part.detach() - joined).exp()
            by_vector = before[:, None] * by_vector + now[:, None] * of_part[0]
            by_target = before * by_target + now * of_part[1]
            summed = joined
        ctx.save_for_backward(by_vector, by_target)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        by_vector, by_target = ctx.saved_tensors
        return gradient[:, None] * by_vector, gradient * by_target, None, None


def stretched(cosines: Tensor, floor: Tensor) -> Tensor:
    """Cosines -> `(cos - floor) / (1 - floor)`.

    A teacher trained without a margin keeps all faces in a cone (dlib: two strangers' cosine is about 0.83), where a
    margin of 0.35 cannot be met by anybody. Stretched by the mean cosine between two class weights, two unrelated
    classes are at 0, as in a space that is spread out, and margins and scales keep the meaning they have in the
    papers. In such a space floor is 0 and nothing changes. docs/decisions/0003-margins-in-a-cone.md
    """
    return (cosines - floor) / (1 - floor)


def mean_cosine(unit_rows: Tensor) -> Tensor:
    """Mean cosine between two different rows: (n, dim) -> (). Zero for a single row."""
    return _mean_cosine(unit_rows.sum(dim=0, dtype=torch.float64), len(unit_rows)).to(unit_rows)


def _mean_cosine(summed: Tensor, count: int) -> Tensor:
    """The same from the sum of the rows, (dim,)."""
    return (summed.square().sum() - count) / max(count * (count - 1), 1)


def unit(vectors: Tensor) -> Tensor:
    """Rows of unit length, in float32 whatever they were computed in."""
    return F.normalize(vectors.to(torch.float32), dim=1)


def _coded(rows: Tensor, store: torch.dtype) -> Tensor:
    """Unit rows as they are stored. Codes of int8 use its whole range, row by row."""
    if store == torch.int8:
        rows = (rows * (_LARGEST_CODE / rows.abs().amax(dim=1, keepdim=True).clamp(min=_TINY))).round()
    return rows.to(store)
