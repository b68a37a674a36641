"""Detection beside facenet-pytorch's own MTCNN, one thread each, photo by photo in turn: a Markdown table.

    python -m benchmarks.detect REFERENCE FOLDER... [--sample N] [--rounds N] [--write]

REFERENCE is a Python file whose `load_mtcnn(min_face_size=)` returns facenet-pytorch's MTCNN; it needs torch. The ratio
is the median over the photos of (reference / ours): this machine may be busy, but it is so for both.
"""

import runpy
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
from PIL import Image as Pillow

from benchmarks.page import processor, publish, table, write_option
from faces.align import Image
from faces.detect import open_detector
from faces.errors import ImageRefused
from faces.image import read_image

MIN_FACE = 20  # pixels

Detect = Callable[[Image], object]


@click.command(help=__doc__)
@click.argument("reference", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--sample", default=40, help="Photos of each folder.")
@click.option("--rounds", default=3, help="Times each photo is measured; the fastest counts.")
@write_option
def main(reference: Path, folders: tuple[Path, ...], sample: int, rounds: int, write: bool) -> None:
    peer = load_reference(reference)
    detector = open_detector(threads=1, min_face=MIN_FACE)

    def ours(image: Image) -> object:
        return detector.detect([image])

    rows = []
    for folder in folders:
        images = sampled(folder, sample)
        for detect in (peer, ours):
            detect(images[0])  # the first run pays for allocations
        times = [fastest((peer, ours), image, rounds) for image in images]
        rows.append(row(f"{len(images)} of {folder.name}", images, times))
    head = ["photos", "megapixels (median)", "facenet-pytorch, ms", "ours, ms", "ratio (median)", "(least, most)"]
    note = f"{processor()}, one thread, smallest face {MIN_FACE} pixels."
    publish("detect", f"{note}\n\n{table(head, rows)}", write=write)


def load_reference(path: Path) -> Detect:
    load_mtcnn = runpy.run_path(str(path))["load_mtcnn"]
    import torch

    torch.set_num_threads(1)
    mtcnn = load_mtcnn(min_face_size=MIN_FACE)

    def detect(image: Image) -> object:
        with torch.inference_mode():
            return mtcnn.detect(Pillow.fromarray(image), landmarks=True)

    return detect


def sampled(folder: Path, count: int) -> list[Image]:
    """At most `count` readable photos, spread evenly over the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    images = []
    for path in paths[:: max(len(paths) // count, 1)][:count]:
        try:
            images.append(read_image(path.read_bytes()))
        except ImageRefused as refusal:
            print(f"left out {path.name}: {refusal}")
    return images


def fastest(contenders: Sequence[Detect], image: Image, rounds: int) -> list[float]:
    """Seconds of the best of `rounds` runs of each, in turn."""
    times = [[seconds(detect, image) for detect in contenders] for _ in range(rounds)]
    return [min(runs) for runs in zip(*times, strict=True)]


def seconds(detect: Detect, image: Image) -> float:
    start = time.perf_counter()
    detect(image)
    return time.perf_counter() - start


def row(name: str, images: list[Image], times: list[list[float]]) -> list[str]:
    megapixels = statistics.median(image.shape[0] * image.shape[1] for image in images) / 1e6
    theirs, ours = (1000 * np.median(of_each) for of_each in zip(*times, strict=True))
    ratios = sorted(their / our for their, our in times)
    spread = f"{ratios[0]:.1f}, {ratios[-1]:.1f}"
    return [name, f"{megapixels:.2f}", f"{theirs:.1f}", f"{ours:.1f}", f"{statistics.median(ratios):.1f}", spread]


if __name__ == "__main__":
    main()
