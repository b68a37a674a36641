"""What a view costs each student backbone in training, and a face in the serving runtime, printed as Markdown.

python -m benchmarks.backbones [--threads N] [--write]
"""

import statistics
import time

import click
import numpy as np
import torch

from benchmarks.page import processor, publish, table, write_option
from kd.backbones import build_backbone
from kd.backbones.summary import count_flops, served
from kd.head import unit
from kd.losses.cosine import cosine

CONTENDERS = [
    ("slimresnet", 96, 1.0),
    ("slimresnet", 112, 1.0),
    ("mobilefacenet", 96, 0.5),
    ("mobilefacenet", 112, 0.5),
    ("mobilefacenet-prelu", 112, 0.5),
    ("pocketnet-s", 112, 1.0),
    ("pocketnet-m", 112, 1.0),
    ("dlibnet", 150, 1.0),
    ("dlibnet-27", 150, 1.0),
    ("dlibnet-25", 150, 1.0),
    ("dlibnet-23", 150, 1.0),
    ("dlibnet-17", 150, 1.0),
]
BATCH, DIM = 32, 128
SERVED = 16


@click.command(help=__doc__)
@click.option("--threads", default=2)
@click.option("--rounds", default=7)
@write_option
def main(threads: int, rounds: int, write: bool) -> None:
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    students = [Contender(*settings) for settings in CONTENDERS]
    for _ in range(rounds):
        for student in students:
            student.round()
    head = ["backbone", "side", "width", "parameters", "million MACs"]
    head += ["views/s in training", "ms a face when serving, one thread"]
    note = f"{processor()}, {threads} threads for training, batch {BATCH}, {rounds} rounds in turn, medians."
    verdict = f"PReLU in place of ReLU makes a view of MobileFaceNet {prelu_cost(students):.1f} times as dear to train."
    body = f"{note} {verdict}\n\n{table(head, [student.row() for student in students])}"
    publish("backbones", body, write=write)


class Contender:
    def __init__(self, name: str, side: int, width: float) -> None:
        self.settings = [name, str(side), f"{width:g}"]
        self.network = build_backbone(name, side, DIM, width).eval().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.network.parameters())
        self.crops = torch.randn(BATCH, 3, side, side).to(memory_format=torch.channels_last)
        self.targets = unit(torch.randn(BATCH, DIM))
        self.macs = count_flops(self.network, side) // 2
        self.served = served(self.network, side)
        self.training: list[float] = []
        self.serving: list[float] = []

    def round(self) -> None:
        self.network.train()
        start = time.perf_counter()
        loss = cosine(unit(self.network(self.crops)), self.targets).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.training.append(BATCH / (time.perf_counter() - start))
        faces = np.ascontiguousarray(self.crops[:SERVED].numpy())
        start = time.perf_counter()
        self.served.run(faces)
        self.serving.append(1000 * (time.perf_counter() - start) / len(faces))

    def row(self) -> list[str]:
        parameters = sum(values.numel() for values in self.network.parameters())
        return [
            *self.settings,
            f"{parameters:,}",
            f"{self.macs / 1e6:.0f}",
            f"{statistics.median(self.training):.0f}",
            f"{statistics.median(self.serving):.2f}",
        ]


def prelu_cost(students: list[Contender]) -> float:
    """How many times a training view of the PReLU network costs that of the ReLU one of the same side and width."""
    views = {tuple(student.settings): statistics.median(student.training) for student in students}
    return views["mobilefacenet", "112", "0.5"] / views["mobilefacenet-prelu", "112", "0.5"]


if __name__ == "__main__":
    main()
