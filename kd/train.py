"""The training loop, on one page."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from kd.config import Optimisation
from kd.data.batches import Batch
from kd.errors import LossNotFinite
from kd.head import FrozenHead, unit
from kd.losses import METHODS, Step
from kd.margins import Margin, MarginLogits

_CLIP: Final = 5.0
_WARMUP: Final = 200  # steps
LOOK_EVERY: Final = 50  # steps between looks at the loss: reading it waits for the device
MEAN: Final = 127.5
SCALE: Final = 128.0

Report = Callable[[int, Mapping[str, float]], None]


@dataclass(eq=False)
class Run:
    """Everything a step reads or changes. `step` counts the steps that are done."""

    student: nn.Module
    optimizer: torch.optim.Optimizer
    head: FrozenHead
    weights: Mapping[str, float]
    """Method -> weight in the total."""
    logits: MarginLogits
    margin: Margin
    plan: Optimisation
    steps: int
    """The length of the whole run."""
    step: int = 0


def train(run: Run, batches: Iterator[Batch], report: Report, save: Callable[[Run], None], save_every: int) -> None:
    """Distil until `run.steps` are done. `batches` begins with the batch after the last one seen.

    Raises LossNotFinite; the last checkpoint that was saved is then still the last good one.
    """
    run.student.train()
    while run.step < run.steps:
        batch = next(batches)
        set_rate(run.optimizer, rate_at(run.step, run.steps, run.plan))
        with torch.autocast("cpu", torch.bfloat16, enabled=run.plan.bf16):
            vectors = run.student(network_input(batch))
        parts = losses(run, batch, unit(vectors))
        total = torch.stack([run.weights[name] * part for name, part in parts.items()]).sum()
        run.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(run.student.parameters(), _CLIP)
        run.optimizer.step()
        run.step += 1
        if run.step % LOOK_EVERY == 0 or run.step == run.steps:
            if not torch.isfinite(total):
                raise LossNotFinite("loss is not finite at step", run.step, "Lower --rate and run the command again.")
            report(run.step, {"loss": total.item(), **{name: part.item() for name, part in parts.items()}})
        if run.step % save_every == 0 or run.step == run.steps:
            save(run)


def network_input(batch: Batch) -> Tensor:
    """(n, 3, height, width) float32, channels last, as the exported Model's card will say."""
    crops = torch.from_numpy(batch.crops).permute(0, 3, 1, 2)
    return (crops.float() - MEAN) / SCALE


def losses(run: Run, batch: Batch, vectors: Tensor) -> dict[str, Tensor]:
    """Method -> its loss, unweighted, for (n, dim) unit rows."""
    targets = None if batch.targets is None else torch.from_numpy(batch.targets)
    step = Step(vectors, torch.from_numpy(batch.labels), targets, run.head, run.logits, ramped(run))
    return {name: METHODS[name].loss(step) for name in run.weights}


def ramped(run: Run) -> Margin:
    """The margin grows from 0 over the first third of the steps: a weak student stalls at a hard one."""
    return Margin(run.margin.size * min(1.0, 3 * run.step / run.steps), run.margin.scale)


def rate_at(step: int, steps: int, plan: Optimisation) -> float:
    """Learning rate: linear warm-up, constant, then half a cosine down to zero over the last `plan.decay` of it."""
    warm = min(1.0, (step + 1) / _WARMUP)
    left = min(1.0, (steps - step) / max(plan.decay * steps, 1.0))
    return plan.rate * warm * 0.5 * (1 - math.cos(math.pi * left))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
