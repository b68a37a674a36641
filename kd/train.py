"""The training loop, on one page."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel

from faces.embed import Crops
from kd import distributed
from kd.backbones.blocks import MEAN, SCALE
from kd.config import Optimisation
from kd.data.batches import Batch
from kd.head import unit
from kd.losses import Criterion
from kd.losses.step import Blend, Step
from kd.watch import Watch

_WARMUP: Final = 200  # steps
LOOK_EVERY: Final = 50  # steps between looks at the loss: reading it waits for the device

Report = Callable[[int, Mapping[str, float]], None]


@dataclass(eq=False)
class Run:
    """Everything a step reads or changes. `step` counts the steps that are done."""

    pupil: "Pupil"
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    """Moving average of the student, where one is kept."""
    plan: Optimisation
    steps: int
    """The length of the whole run."""
    seed: int
    step: int = 0


class Pupil(nn.Module):
    """A student with what it is judged by: all that is trained, in one module."""

    def __init__(self, student: nn.Module, criterion: Criterion, *, bf16: bool) -> None:
        super().__init__()
        self.student, self.criterion, self.bf16 = student, criterion, bf16

    def forward(self, batch: Batch, ramp: float) -> dict[str, Tensor]:
        """Name -> loss, and under "loss" their weighted sum."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            answer = self.student(network_input(batch))
        parts: dict[str, Tensor] = self.criterion(step_of(batch, answer.float(), ramp))
        return parts


def train(
    run: Run,
    batches: Iterator[Batch],
    *,
    report: Report,
    save: Callable[[Run], None],
    save_every: Collection[int],
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Distil until `run.steps` are done. `batches` begins with the batch after the last one seen.

    save_every: numbers of steps; a multiple of any is saved, once its losses were looked at. stopped: asked after each
    step; True ends the run there, saved. Raises LossNotFinite; the last checkpoint is then still the last good one.
    """
    run.pupil.train()
    pupil = _shared(run.pupil) if distributed.world() > 1 else run.pupil
    watch = Watch()
    while run.step < run.steps:
        with watch.waiting():
            batch = next(batches)
        torch.manual_seed(hash((run.seed, run.step, distributed.rank())))  # what a network drops follows from the step
        for group in run.optimizer.param_groups:
            group["lr"] = rate_at(run.step, run.steps, run.plan)
        parts = pupil(batch, min(1.0, 3 * run.step / run.steps))
        run.optimizer.zero_grad(set_to_none=True)
        parts["loss"].backward()
        length = clip_grad_norm_(run.pupil.parameters(), run.plan.clip)
        run.optimizer.step()
        if run.average is not None:
            run.average.update_parameters(run.pupil.student)
        run.step += 1
        watch.saw(run.step, len(batch.share), parts, length)
        done = run.step == run.steps or stopped()
        saves = done or any(run.step % steps == 0 for steps in save_every)
        if saves or run.step % LOOK_EVERY == 0:
            report(run.step, watch.look())
        if saves:
            save(run)
        if done:
            return


def _shared(pupil: "Pupil") -> DistributedDataParallel:
    """Gradients averaged over ranks. Buffers stay each rank's own: statistics agree, shards of a head must differ."""
    return DistributedDataParallel(pupil, broadcast_buffers=False, init_sync=False)


def network_input(batch: Batch) -> Tensor:
    """Crops as the network takes them; rows of an adapter as they are."""
    crops = batch.inputs.dtype == np.uint8
    return as_input(np.asarray(batch.inputs, np.uint8)) if crops else torch.from_numpy(batch.inputs)


def as_input(crops: Crops) -> Tensor:
    """(n, height, width, 3) uint8 -> (n, 3, height, width) float32, channels last, as the Model's card will say."""
    return (torch.from_numpy(crops).permute(0, 3, 1, 2).float() - MEAN) / SCALE


def step_of(batch: Batch, answer: Tensor, ramp: float) -> Step:
    """What losses look at, from a batch and the student's answer: (n, dim), or (n, 2, dim) of a residual student."""
    halves = (answer[:, 0], answer[:, 1]) if answer.ndim == 3 else None
    raw = answer if halves is None else halves[0] + halves[1]
    first, second = torch.from_numpy(batch.people).unbind(dim=1)
    share = torch.from_numpy(batch.share)
    return Step(
        raw=raw,
        vectors=unit(raw),
        labels=first.masked_fill(share < 1, -1),
        blend=Blend(first, second, share),
        targets=None if batch.targets is None else torch.from_numpy(batch.targets),
        halves=halves,
        ramp=ramp,
    )


def flat(done: float, decay: float) -> float:
    """Constant, then half a cosine down to zero over the last `decay`; done: 0 to 1."""
    return 0.5 * (1 - math.cos(math.pi * min(1.0, (1 - done) / max(decay, 1e-9))))


def cosine(done: float, decay: float) -> float:  # noqa: ARG001
    """Half a cosine from the first step to the last."""
    return 0.5 * (1 + math.cos(math.pi * done))


def stairs(done: float, decay: float) -> float:  # noqa: ARG001
    """A tenth after each of three quarters of the run's steps: 1, 0.1, 0.01, 0.001."""
    return 0.1 ** math.floor(4 * done)


SCHEDULES: Final[Mapping[str, Callable[[float, float], float]]] = MappingProxyType(
    {"flat": flat, "cosine": cosine, "step": stairs}
)


def rate_at(step: int, steps: int, plan: Optimisation) -> float:
    """Learning rate: linear warm-up, then the plan's schedule. A function of the step, so it needs no state."""
    warm = min(1.0, (step + 1) / _WARMUP)
    return plan.rate * warm * SCHEDULES[plan.schedule](step / steps, plan.decay)
