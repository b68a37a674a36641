"""The photos that students are judged by: decoded, searched for faces and shown to the teacher once for all of them."""

import io
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from faces.align import align
from faces.console import progress
from faces.detect import open_detector
from faces.embed import ModelEmbedder, Vectors
from faces.files import write_whole
from faces.space import Grid, Recipe, digest, short_id
from kd.errors import ProtocolInvalid
from kd.evaluate.figures import Judged, Report
from kd.evaluate.grid import judge_pairs, judge_search, judgement
from kd.evaluate.photos import find_face
from kd.evaluate.protocol import Protocol
from kd.evaluate.report import grid_of
from kd.head import unit
from kd.train import as_input

_BATCH: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """A protocol with all that does not depend on the student."""

    protocol: Protocol
    photos: tuple[str, ...]
    """Those with a face."""
    crops: NDArray[np.uint8]
    """(n, height, width, 3) RGB, in the student's Recipe."""
    vectors: Vectors
    """(n, dim) unit rows: the teacher's."""
    seconds: float
    """What the teacher took to embed 1,000 faces."""

    def grade(self, student: nn.Module) -> dict[str, Grid]:
        """The 2×2 of each search of the protocol, by its key."""
        sides = {"T": dict(zip(self.photos, self.vectors, strict=True))}
        sides["S"] = dict(zip(self.photos, embedded(student, self.crops), strict=True))
        judged = judgement(self.protocol, resamples=0, seed=0)
        rows = judged.sides(sides, self.vectors.shape[1])
        nobody = Judged("", "", 0)
        report = Report(
            teacher=nobody,
            student=nobody,
            resamples=0,
            seed=0,
            photos=len(self.photos),
            failed={},
            pairs=tuple(judge_pairs(judged, pairs, rows, rows, None) for pairs in self.protocol.pairs),
            searches=tuple(judge_search(judged, search, rows, rows, None) for search in self.protocol.searches),
        )
        return {search.key: grid_of(report, search) for search in report.searches}


class Examiner:
    """Opens the exam for students of each Recipe, and keeps it in `folder` for the next start and for other processes.

    Photos that changed in size, another teacher or another Recipe make a new one.
    """

    def __init__(self, protocol: Protocol, teacher: ModelEmbedder, folder: Path) -> None:
        self.protocol, self.teacher, self._folder = protocol, teacher, folder
        self._open: dict[Recipe, Exam] = {}

    def exam(self, recipe: Recipe) -> Exam:
        """Raises ProtocolInvalid for a photo that is not there, and where none has a face."""
        if recipe not in self._open:
            self._open[recipe] = self._kept(recipe)
        return self._open[recipe]

    def _kept(self, recipe: Recipe) -> Exam:
        photos = self.protocol.photos(range(len(self.protocol.templates)))
        listing = [[photo, 0 if photo in self.protocol.crops else _size(photo)] for photo in photos]
        asked = json.dumps([listing, asdict(recipe), self.teacher.identity])
        file = self._folder / f"{short_id(digest(asked.encode()))}.npz"
        if not file.is_file():
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(file, _prepared(self.protocol, photos, self.teacher, recipe))
        with np.load(file) as kept:
            names = tuple(kept["photos"].tolist())
            return Exam(self.protocol, names, kept["crops"], kept["vectors"], float(kept["seconds"]))


def embedded(student: nn.Module, crops: NDArray[np.uint8]) -> Vectors:
    """(n, height, width, 3) uint8 RGB -> (n, dim) float32 unit rows."""
    student.eval()
    with torch.inference_mode():
        rows = [
            unit(student(as_input(crops[start : start + _BATCH]))).numpy() for start in range(0, len(crops), _BATCH)
        ]
    return np.concatenate(rows)


def _prepared(protocol: Protocol, photos: list[str], teacher: ModelEmbedder, recipe: Recipe) -> bytes:
    """An .npz of the photos with a face, their crops for the student, and the teacher's vectors."""
    detector = open_detector()
    crops: dict[str, NDArray[np.uint8]] = {}
    shown: list[NDArray[np.uint8]] = []
    with progress("reading photos", total=len(photos)) as advance:
        for photo in photos:
            face = find_face(photo, protocol.crops if photo in protocol.crops else None, detector)
            if not isinstance(face, str):
                crops[photo] = align(face.image, face.landmarks, recipe)
                shown.append(align(face.image, face.landmarks, teacher.recipe))
            advance(1)
    if not shown:
        raise ProtocolInvalid("no photo of the protocol has a face", protocol.name, "Look at what its paths lead to.")
    start = time.perf_counter()
    vectors = teacher.embed(np.stack(shown))
    seconds = 1000 * (time.perf_counter() - start) / len(shown)
    buffer = io.BytesIO()
    np.savez(buffer, photos=list(crops), crops=np.stack(list(crops.values())), vectors=vectors, seconds=seconds)
    return buffer.getvalue()


def _size(photo: str) -> int:
    """Bytes."""
    try:
        return Path(photo).stat().st_size
    except OSError:
        raise ProtocolInvalid("a photo of the protocol is not there", photo, "Check --photos.") from None
