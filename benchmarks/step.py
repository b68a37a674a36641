"""What a training step costs by ProxylessKD, by plain margin softmax, and by L2 with its teacher asked each time.

    python -m benchmarks.step [--threads N] [--classes N] [--write]

The student is that of small-dlib; the teacher of L2 is an IResNet-50 in the serving runtime, on the same crops at 112.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.page import processor, publish, table, write_option
from faces.runtime import Network, load_network
from kd.backbones import build_backbone
from kd.data.batches import Batch
from kd.export import to_onnx
from kd.head import FrozenHead, unit
from kd.losses import Criterion, parse_method
from kd.losses.step import Setting
from kd.margins import CosFace
from kd.train import Pupil

BATCH, DIM, SIDE = 64, 512, 96


@click.command(help=__doc__)
@click.option("--threads", default=1)
@click.option("--classes", default=10_572, show_default=True, help="CASIA-WebFace's.")
@click.option("--rounds", default=7)
@write_option
def main(threads: int, classes: int, rounds: int, write: bool) -> None:
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    rng = np.random.default_rng(0)
    setting = Setting(
        inherited=FrozenHead(torch.randn(classes, DIM)),
        dim=DIM,
        photos=torch.full((classes,), 10),
        scale=64.0,
        new_margin=partial(CosFace, 0.35),
    )
    batch = Batch(
        inputs=rng.integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8),
        people=np.stack([rng.integers(0, classes, BATCH), np.full(BATCH, -1)], axis=1),
        share=np.ones(BATCH, dtype=np.float32),
        targets=unit(torch.randn(BATCH, DIM)).numpy(),
    )
    teacher, crops = live_teacher(threads), rng.standard_normal((BATCH, 3, 112, 112)).astype(np.float32)
    steps = {
        "margin softmax, own classifier (`none`)": stepper("none", setting, batch, lambda: None),
        "ProxylessKD (`proxyless`)": stepper("proxyless", setting, batch, lambda: None),
        "L2, IResNet-50 asked each step (`l2`)": stepper("l2", setting, batch, lambda: teacher.run(crops)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):  # the first allocates
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    plain, proxyless, asked = (statistics.median(times[1:]) for times in seconds.values())
    rows = [[name, f"{1000 * statistics.median(times[1:]):.0f}"] for name, times in seconds.items()]
    note = (
        f"{processor()}, {threads} threads, batch {BATCH}, {classes:,} classes × {DIM}, {rounds} rounds in turn, "
        f"medians. ProxylessKD's step takes {proxyless / plain:.2f} of margin softmax's and {proxyless / asked:.2f} "
        "of L2's."
    )
    publish("step", f"{note}\n\n{table(['step', 'ms'], rows)}", write=write)


def live_teacher(threads: int) -> Network:
    """An IResNet-50 with drawn weights: what it answers does not matter here, what it costs does."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "teacher.onnx"
        file.write_bytes(to_onnx(build_backbone("iresnet-50", 112, DIM, 1.0).eval(), 112))
        return load_network(file, threads=threads)


def stepper(method: str, setting: Setting, batch: Batch, ask: Callable[[], np.ndarray | None]) -> Callable[[], None]:
    """A whole training step of a fresh student, its optimiser included."""
    pupil = Pupil(build_backbone("slimresnet", SIDE, DIM, 1.0), Criterion(parse_method(method), setting), bf16=False)
    pupil.student.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(pupil.parameters())

    def step() -> None:
        ask()
        loss = pupil(batch, 1.0)["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
