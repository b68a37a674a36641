"""How long one face takes, measured here and now on one thread."""

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from demo.photos import PORTRAITS
from faces.align import align
from faces.detect import open_detector
from faces.embed import Crops
from faces.image import read_image
from faces.models import Model, installed_file, open_embedder
from faces.pipeline import principal_face
from faces.space import Recipe

_SECONDS: Final = 1.0  # of measuring
_LEAST: Final = 5  # runs, however slow


def embedding_ms(model: Model) -> float:
    """Median milliseconds from Crop to embedding, one face at a time."""
    embedder = open_embedder(model, threads=1)
    crop = portrait_crop(model.card.crop)
    return median_ms(lambda: embedder.embed(crop))


def dlib_library_ms(recipe: Recipe) -> float | None:
    """The same for the dlib library itself; None where it is not installed."""
    if importlib.util.find_spec("dlib") is None:
        return None
    import dlib

    weights = installed_file("face_recognition_models", "dlib_face_recognition_resnet_model_v1.dat", "make demo")
    network = dlib.face_recognition_model_v1(str(weights))
    chip = portrait_crop(recipe)[0]
    return median_ms(lambda: network.compute_face_descriptor(chip))


def portrait_crop(recipe: Recipe) -> Crops:
    """(1, height, width, 3): the face of the first portrait."""
    image = read_image(PORTRAITS[0].locate().read_bytes())
    (faces,) = open_detector(threads=1).detect([image])
    return align(image, faces[principal_face(faces, image)].landmarks, recipe)[np.newaxis]


def median_ms(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Median milliseconds a run, over about a second, after one run that warms up."""
    work()
    taken: list[float] = []
    while len(taken) < _LEAST or sum(taken) < _SECONDS:
        started = clock()
        work()
        taken.append(clock() - started)
    return statistics.median(taken) * 1000
