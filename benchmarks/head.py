"""What a frozen head of many classes costs in each store: memory, time and accuracy, printed as Markdown.

    python -m benchmarks.head [--classes N]... [--threads N] [--steps N] [--write]

Against the dense formula in float32. Each contender runs in a process of its own, so that its memory can be told.
"""

import ctypes
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.page import processor, publish, table, write_option
from kd.head import STORES, FrozenHead, margin_cross_entropy, mean_cosine, stretched, unit
from kd.margins import ArcFace

DIM, BATCH, SCALE = 512, 64, 64.0
NEARNESS = 0.5  # cosine of a face to its class: a student in the middle of its training
DENSE = "dense"


@click.command(help=__doc__)
@click.option("--classes", multiple=True, default=[100_000, 300_000, 1_000_000], help="Once for each size.")
@click.option("--threads", default=2)
@click.option("--steps", default=5)
@write_option
@click.option("--contender", nargs=3, type=(str, int, Path), hidden=True)
def main(
    classes: tuple[int, ...], threads: int, steps: int, write: bool, contender: tuple[str, int, Path] | None
) -> None:
    torch.set_num_threads(threads)
    if contender is not None:
        name, count, gradient = contender
        print(json.dumps(measured(name, count, gradient, steps)))
        return
    head = ["classes", "store", "W, GB", "extra memory of a step, MB", "ms a step", "loss", "cosine"]
    rows = [row for count in classes for row in compared(count, threads, steps)]
    note = (
        f"{processor()}, {threads} threads, {DIM} wide, batch {BATCH}, ArcFace, faces at a cosine of {NEARNESS} to "
        f"their class. A step is the loss and its gradient at the embeddings, median of {steps}. Extra memory is the "
        "peak of the first step over what was there before it. In brackets, by how much the loss differs from the "
        "dense formula's; the last column is the cosine of the gradient to the dense formula's."
    )
    publish("head", f"{note}\n\n{table(head, rows)}", write=write)


def compared(count: int, threads: int, steps: int) -> list[list[str]]:
    """A row for the dense formula, then one for each store."""
    with tempfile.TemporaryDirectory() as folder:
        found, gradients = {}, {}
        for name in (DENSE, *STORES):
            file = Path(folder) / f"{name}.npy"
            program = [sys.executable, "-m", "benchmarks.head", "--threads", str(threads), "--steps", str(steps)]
            answer = subprocess.run(
                [*program, "--contender", name, str(count), str(file)], check=True, stdout=subprocess.PIPE
            )
            found[name], gradients[name] = json.loads(answer.stdout), torch.from_numpy(np.load(file)).flatten()
    dense = found[DENSE]["loss"]
    return [
        [
            f"{count:,}",
            "float32, dense formula" if name == DENSE else name,
            f"{of['bytes'] / 1e9:.3f}",
            f"{of['extra'] / 1e6:.0f}",
            f"{of['ms']:.0f}",
            f"{of['loss']:.3f} ({(of['loss'] - dense) / dense:+.1e})",
            f"{float(F.cosine_similarity(gradients[name], gradients[DENSE], dim=0)):.6f}",
        ]
        for name, of in found.items()
    ]


def measured(name: str, count: int, gradient: Path, steps: int) -> dict[str, float]:
    """One contender's bytes of W, extra bytes of a step, milliseconds and loss; its gradient goes to a file."""
    weights = random_rows(count, seed=0)
    labels = torch.arange(BATCH) * (count // BATCH)
    away = random_rows(BATCH, seed=1) * (1 / NEARNESS**2 - 1) ** 0.5
    vectors = unit(unit(weights[labels]) + away).requires_grad_()
    size, loss_of = dense(weights, labels) if name == DENSE else stored(weights, labels, name)
    del weights
    ctypes.CDLL(None).malloc_trim(0)  # what building the head has freed is not there to be used again unseen
    before = peak_from_now()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        loss = loss_of(vectors)
        (slope,) = torch.autograd.grad(loss, vectors)
        times.append(1000 * (time.perf_counter() - start))
        if len(times) == 1:
            extra = resident("VmHWM") - before
    np.save(gradient, slope.numpy())
    return {"bytes": size, "extra": extra, "ms": statistics.median(times), "loss": loss.item()}


def random_rows(count: int, *, seed: int) -> Tensor:
    """(count, DIM), about of unit length."""
    return torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed)).mul_(DIM**-0.5)


def stored(weights: Tensor, labels: Tensor, store: str) -> tuple[int, Callable[[Tensor], Tensor]]:
    """Bytes of W, and the loss of (n, DIM) unit rows, through kd.head."""
    head, margin = FrozenHead(weights, store), ArcFace(ArcFace.usual)

    def loss(vectors: Tensor) -> Tensor:
        return margin_cross_entropy(vectors, vectors, labels, head, margin, scale=SCALE, ramp=1.0).mean()

    return sum(buffer.numel() * buffer.element_size() for buffer in head.buffers()), loss


def dense(weights: Tensor, labels: Tensor) -> tuple[int, Callable[[Tensor], Tensor]]:
    """The same by the formula as it is printed: every logit at once."""
    rows, margin = unit(weights), ArcFace(ArcFace.usual)
    floor = mean_cosine(rows).clamp(min=0)

    def loss(vectors: Tensor) -> Tensor:
        cosines = stretched(vectors @ rows.T, floor)
        target = margin.target(cosines.gather(1, labels[:, None])[:, 0], vectors, 1.0)
        return F.cross_entropy(SCALE * cosines.scatter(1, labels[:, None], target[:, None]), labels)

    return rows.numel() * rows.element_size(), loss


def peak_from_now() -> int:
    """Bytes in memory; from here on VmHWM is the highest since. Linux."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resident("VmRSS")


def resident(line: str) -> int:
    """Bytes, from a line of the process's status."""
    found = re.search(rf"{line}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return 1024 * int(found.group(1))


if __name__ == "__main__":
    main()
