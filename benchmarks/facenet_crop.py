"""Where facenet-pytorch's box crop puts MTCNN's five points: the Recipe `facenet-160` estimated again.

    python -m benchmarks.facenet_crop PHOTOS [--sample N]

PHOTOS is a folder of people with photos as published, one principal face each.
"""

import random
from pathlib import Path

import click
import numpy as np

from faces.align import FACENET_160
from faces.detect import Face, open_detector
from faces.image import read_image
from faces.pipeline import principal_face

SIDE = FACENET_160.width
MARGIN = 14  # pixels of the crop, as in facenet-pytorch's own evaluation, examples/lfw_evaluate.ipynb


@click.command(help=__doc__)
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--sample", default=500)
def main(photos: Path, sample: int) -> None:
    paths = sorted(photos.glob("*/*.jpg"))
    random.Random(0).shuffle(paths)
    detector, places, tallness = open_detector(), [], []
    for path in paths[:sample]:
        photo = read_image(path.read_bytes())
        (faces,) = detector.detect([photo])
        if faces:
            face = faces[principal_face(faces, photo)]
            places.append(in_crop(face, *photo.shape[:2]))
            tallness.append((face.box[3] - face.box[1]) / (face.box[2] - face.box[0]))
    tall = float(np.mean(tallness))
    columns = round(SIDE / tall)
    natural = symmetric(np.mean(places, axis=0))
    natural[:, 0] = (natural[:, 0] + 0.5) * columns / SIDE - 0.5 + (SIDE - columns) / 2
    print(f"{len(places)} faces; a box is {tall:.3f} times as tall as wide: {columns} of {SIDE} columns")
    print(f"mean places: {np.round(natural, 1).tolist()}")
    print(f"off the Recipe by at most {np.abs(natural - FACENET_160.points).max():.1f} pixels")


def in_crop(face: Face, height: int, width: int) -> np.ndarray:
    """(5, 2): the landmarks in facenet-pytorch's crop of the box, as `extract_face` cuts and stretches it."""
    x_min, y_min, x_max, y_max = face.box
    across, down = (MARGIN * length / (SIDE - MARGIN) / 2 for length in (x_max - x_min, y_max - y_min))
    start = np.array([int(max(x_min - across, 0)), int(max(y_min - down, 0))])
    end = np.array([int(min(x_max + across, width)), int(min(y_max + down, height))])
    return (face.landmarks - start + 0.5) * SIDE / (end - start) - 0.5


def symmetric(points: np.ndarray) -> np.ndarray:
    """The mean of the points and of their mirror image."""
    mirrored = points[[1, 0, 2, 4, 3]] * [-1, 1] + [SIDE - 1, 0]
    return (points + mirrored) / 2


if __name__ == "__main__":
    main()
