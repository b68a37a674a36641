"""What training needs to know of the other ranks of a `torchrun`; alone, every function here does next to nothing.

Two kinds of loss agree with one rank's: a mean over rows (`mean` of this rank's rows), and a loss that every rank
computes alike on the rows of all (`gather`). In both, DistributedDataParallel's averaging of gradients then gives the
gradient of the whole batch.

Every rank has to call the same functions in the same order, also a rank without a row.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function

_STARTED_BY_TORCHRUN: Final = "TORCHELASTIC_RUN_ID"
_PATIENCE: Final = timedelta(days=30)
"""The first rank prepares millions of photos while the others wait for it; one that dies is torchrun's to notice."""


@contextmanager
def together() -> Iterator[None]:
    """Among the other ranks where `torchrun` started this process: gloo between CPUs, NCCL between GPUs.

    They part when all are done: a process that ends with a group open, or while another still talks to it, may abort.
    """
    if _STARTED_BY_TORCHRUN not in os.environ or dist.is_initialized():
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    try:
        yield
        wait()
    finally:
        dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many ranks train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(count: int) -> slice:
    """Which of `count` things in a row are this rank's: count // world, and one more on the first few ranks.

    Rows of a batch, and classes of a sharded head. Source: An et al., Partial FC, as insightface's arcface_torch
    divides its classes.
    """
    size, over = divmod(count, world())
    start = size * rank() + min(rank(), over)
    return slice(start, start + size + (rank() < over))


def wait() -> None:
    """Until every rank is here."""
    if world() > 1:
        dist.barrier()


def gather(rows: Tensor) -> Tensor:
    """(n, …) -> the rows of all ranks, in the order of ranks. Gradients flow back to their rank.

    n may differ between ranks, and be 0.
    """
    return rows if world() == 1 else _Gather.apply(rows)  # type: ignore[no-untyped-call]


def gathered(rows: Tensor) -> Tensor:
    """`gather` without a gradient."""
    return gather(rows.detach())


def gathered_here(count: int, device: torch.device) -> Tensor:
    """(rows of all ranks,) bool: which rows of a `gather` are this rank's, of `count` that it gave."""
    return gathered(torch.full((count,), rank(), device=device)) == rank()


def total(values: Tensor) -> Tensor:
    """Sum of `values` over the ranks. Gradients flow back to every rank's addend."""
    return values if world() == 1 else _Total.apply(values)  # type: ignore[no-untyped-call]


def highest(values: Tensor) -> Tensor:
    """Largest of each value over the ranks. No gradient."""
    largest = values.detach().clone()
    if world() > 1 and largest.numel():
        dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest


def mean(values: Tensor) -> Tensor:
    """Mean over the rows of all ranks, (n,) -> (); ranks may hold different numbers of rows. 0 where none has any.

    What one rank returns is its part of it times the number of ranks: the mean over ranks is the mean over rows.
    """
    count = total(torch.tensor(float(len(values)), device=values.device))
    return values.sum() * world() / count.clamp(min=1)


def moments(values: Tensor) -> tuple[int, Tensor, Tensor]:
    """Count, mean and unbiased variance over the rows of all ranks, alike on each: (n,) -> (), (), (). No gradient.

    0 where there are too few rows for one.
    """
    values = values.detach()
    count, summed = total(torch.stack([values.new_tensor(len(values)), values.sum()]))
    centre = summed / count.clamp(min=1)
    squares = total((values - centre).square().sum())
    return int(count), centre, squares / (count - 1).clamp(min=1)


def synchronised(network: nn.Module) -> nn.Module:
    """The network with batch statistics taken over all ranks. torch's own module for that works on GPUs alone."""
    if world() == 1:
        return network
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(module, name, _SharedBatchNorm.of(child))
    return network


class _SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over the batches of all ranks. Source: Ioffe & Szegedy, algorithm 1, on the whole batch."""

    @classmethod
    def of(cls, other: nn.modules.batchnorm._BatchNorm) -> "_SharedBatchNorm":
        """The same layer, with the same parameters and buffers."""
        layer = cls(other.num_features, other.eps, other.momentum, other.affine, other.track_running_stats)
        layer.__dict__.update(other.__dict__)
        return layer

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, got {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Statistics in float32 or finer, whatever the input is in; the answer in the input's type."""
        if not self.training:
            return super().forward(input)
        values = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
        axes = [axis for axis in range(values.dim()) if axis != 1]
        shape = [1, -1, *[1] * (values.dim() - 2)]
        sums = total(torch.cat([values.sum(axes), values.new_full((1,), values.numel() // values.shape[1])]))
        count, centre = sums[-1], sums[:-1] / sums[-1]
        centred = values - centre.view(shape)
        variance = total(centred.square().sum(axes)) / count
        self._remember(centre.detach(), (variance * count / (count - 1)).detach())
        answer = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            answer = answer * self.weight.view(shape) + self.bias.view(shape)
        return answer.to(input.dtype)

    @torch.no_grad()
    def _remember(self, centre: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        momentum = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(centre.to(self.running_mean), momentum)
        self.running_var.lerp_(variance.to(self.running_var), momentum)


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        counts = [torch.zeros((), dtype=torch.int64, device=rows.device) for _ in range(world())]
        dist.all_gather(counts, torch.tensor(len(rows), device=rows.device))
        sizes = [int(count) for count in counts]
        start = sum(sizes[: rank()])
        ctx.mine = slice(start, start + len(rows))
        padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        if padded.numel():
            dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        return _summed(gradient)[ctx.mine]


class _Total(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004
        return _summed(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        (gradient,) = gradients
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    summed = values.clone(memory_format=torch.contiguous_format)
    if summed.numel():
        dist.all_reduce(summed)
    return summed
