"""What a backbone costs: parameters, arithmetic, and time in the serving runtime."""

import statistics
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from faces.runtime import Network, load_network
from kd.backbones import build_backbone, find_backbone
from kd.export import to_onnx

_WARM_UP: Final = 3  # answers that are not timed: the first ones allocate


@dataclass(frozen=True, slots=True)
class Cost:
    """One face of `side` pixels through one network, one at a time."""

    name: str
    side: int
    parameters: int
    macs: int
    """Multiply-accumulates of the convolutions and matrix products; what is done element by element is not counted."""
    flops: int
    """Each multiply-accumulate counted as two: what papers call FLOPs is often the other figure."""
    milliseconds: float
    """Median on one thread of the serving runtime."""


def cost(name: str, *, side: int | None = None, dim: int = 128, width: float = 1.0, rounds: int = 15) -> Cost:
    """Build, export, load and time one backbone; at the side that it was made for unless given.

    Raises what `build_backbone` raises.
    """
    side = find_backbone(name).side if side is None else side
    network = build_backbone(name, side, dim, width).eval()
    flops = count_flops(network, side)
    return Cost(
        name=name,
        side=side,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        macs=flops // 2,
        flops=flops,
        milliseconds=latency(served(network, side), side, rounds),
    )


def count_flops(network: nn.Module, side: int) -> int:
    """Of one face. torch's counter knows convolutions and matrix products, two operations a multiply-accumulate."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, side, side))
    return int(counter.get_total_flops())


def served(network: nn.Module, side: int) -> Network:
    """The network, in evaluation mode, as the service would run it: on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(to_onnx(network, side))
        return load_network(file, threads=1)


def latency(network: Network, side: int, rounds: int) -> float:
    """Milliseconds for one face: the median of `rounds` answers."""
    face = np.random.default_rng(0).standard_normal((1, 3, side, side)).astype(np.float32)
    times = []
    for _ in range(_WARM_UP + rounds):
        start = time.perf_counter()
        network.run(face)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[_WARM_UP:])


def as_table(costs: Iterable[Cost]) -> Table:
    """One row a backbone."""
    table = Table("backbone", "side", "parameters", "million MACs", "million FLOPs", "ms a face, one thread")
    for row in costs:
        millions = (f"{row.macs / 1e6:,.0f}", f"{row.flops / 1e6:,.0f}")
        table.add_row(row.name, str(row.side), f"{row.parameters:,}", *millions, f"{row.milliseconds:.2f}")
    return table
