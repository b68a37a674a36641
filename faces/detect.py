"""Photo to faces: the three-stage MTCNN cascade on facenet-pytorch's trained weights.

P-Net proposes boxes at every scale, R-Net refuses most of them, O-Net refuses more and places five landmarks. The
arithmetic is that of facenet_pytorch/models/utils/detect_face.py, version 2.6.0; the differences: any image is
accepted, faces are clipped to the photo, and a photo that floods P-Net is bounded.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from faces.align import Image
from faces.boxes import Boxes, clipped, moved, over_smaller, squared, suppress
from faces.pyramid import CANVAS, STRIDE, WINDOW, Photo, Piece, draw, edges, lay_out
from faces.runtime import Device, Network, load_network, run_in_batches
from faces.weights.mtcnn import ONET_SIZE, RNET_SIZE, onet_onnx, pnet_onnx, read_mtcnn_weights, rnet_onnx

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_PNET_SCORE, _RNET_SCORE, _ONET_SCORE = 0.6, 0.7, 0.7
_SAME_LEVEL: Final = 0.5  # overlap over which the lesser of two boxes goes
_SAME_PHOTO: Final = 0.7
_MOST_PROPOSALS: Final = 8192  # a level and a photo, best first: a group of twenty faces makes 1,500
_CROPS_AT_ONCE: Final = 256  # bounds the memory of the later stages
_RNET_BATCH: Final = 16
_ONET_BATCH: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face of a photo."""

    box: tuple[float, float, float, float]
    """x_min, y_min, x_max, y_max in pixels, clipped to the photo."""
    score: float
    """How sure the detector is, 0.7 to 1."""
    landmarks: Floats
    """(5, 2): x, y in pixels of left eye, right eye, nose, left and right mouth corner; may lie outside the photo."""


class Detects(Protocol):
    """What is asked of a Detector; from several threads at once."""

    def detect(self, images: Sequence[Image]) -> list[list[Face]]: ...


class Detector:
    """MTCNN. Safe to call from several threads at once."""

    def __init__(self, pnet: Network, rnet: Network, onet: Network, *, min_face: int) -> None:
        self._pnet, self._rnet, self._onet = pnet, rnet, onet
        self._min_face = min_face

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        """The faces of each photo, best score first; photos of any size, one after the other."""
        return [self._detect(image) for image in images]

    def _detect(self, image: Image) -> list[Face]:
        layout = lay_out(image.shape[0], image.shape[1], self._min_face)
        if not layout:
            return []
        photo = Photo(image)
        boxes = _touching(photo, self._proposals(photo, layout))
        if len(boxes):
            boxes = _touching(photo, self._refined(photo, boxes))
        return self._faces(photo, boxes) if len(boxes) else []

    def _proposals(self, photo: Photo, layout: Sequence[Sequence[Piece]]) -> Boxes:
        """P-Net on every canvas: square boxes, best score first, the lesser of overlapping ones of one level removed.

        The original then does the same across levels, where it finds nothing: boxes of one level have half the area of
        those of the next, and only those that overlap by more than 0.7 would go.
        """
        levels: dict[float, list[Floats]] = {}
        canvas = np.zeros((1, *CANVAS, 4), dtype=np.float32)
        for pieces in layout:
            draw(photo, pieces, canvas[0])
            scores, offsets = self._pnet.run(canvas)
            for piece in pieces:
                levels.setdefault(piece.scale, []).append(_piece_proposals(piece, scores[0, 0], offsets[0]))
        found = np.concatenate([_distinct(np.concatenate(rows)) for rows in levels.values()])
        found = found[np.argsort(-found[:, 4], kind="stable")[:_MOST_PROPOSALS]]
        return squared(moved(found[:, :4], found[:, 5:], end_pixel=0))

    def _refined(self, photo: Photo, boxes: Boxes) -> Boxes:
        """R-Net on every proposal."""
        scores, offsets = _judged(self._rnet, photo, boxes, RNET_SIZE)
        passed = scores[:, 0] > _RNET_SCORE
        boxes, scores, offsets = boxes[passed], scores[passed, 0], offsets[passed]
        kept = suppress(boxes, scores, _SAME_PHOTO)
        return squared(moved(boxes[kept], offsets[kept], end_pixel=1))

    def _faces(self, photo: Photo, boxes: Boxes) -> list[Face]:
        """O-Net on what is left."""
        scores, offsets, points = _judged(self._onet, photo, boxes, ONET_SIZE)
        passed = scores[:, 0] > _ONET_SCORE
        boxes, scores = boxes[passed], scores[passed, 0]
        relative = points[passed].reshape(-1, 2, 5).transpose(0, 2, 1)
        landmarks = boxes[:, None, :2] + relative * (boxes[:, None, 2:] - boxes[:, None, :2] + 1) - 1
        boxes = moved(boxes, offsets[passed], end_pixel=1)
        kept = suppress(boxes, scores, _SAME_PHOTO, over_smaller)
        inside = clipped(boxes, photo.width, photo.height)
        return [
            Face(tuple(inside[i].tolist()), float(scores[i]), landmarks[i])
            for i in kept
            if (inside[i, 2:] > inside[i, :2]).all()
        ]


def open_detector(*, device: Device = "cpu", threads: int | None = None, min_face: int = 20) -> Detector:
    """Load MTCNN for faces of at least min_face pixels; threads: as for `load_network`.

    Raises WeightsMissing or WeightsUnreadable (facenet-pytorch's weight files), DeviceUnavailable.
    """
    if min_face < 1:
        raise ValueError(f"min_face is {min_face}, but a face has at least 1 pixel")
    models = {
        "pnet": pnet_onnx(read_mtcnn_weights("pnet"), *CANVAS),
        "rnet": rnet_onnx(read_mtcnn_weights("rnet"), _RNET_BATCH),
        "onet": onet_onnx(read_mtcnn_weights("onet"), _ONET_BATCH),
    }
    with tempfile.TemporaryDirectory(prefix="heirloom-mtcnn-") as folder:
        networks = []
        for name, model in models.items():
            path = Path(folder, f"{name}.onnx")
            path.write_bytes(model)
            networks.append(load_network(path, device=device, threads=threads))
    return Detector(*networks, min_face=min_face)


def _piece_proposals(piece: Piece, scores: Floats, offsets: Floats) -> Floats:
    """The cells of one piece that see a face: (n, 9) of box, score, offsets."""
    y, x = piece.target[0] // STRIDE, piece.target[1] // STRIDE
    rows, columns = ((size - WINDOW) // STRIDE + 1 for size in piece.size)
    scores = scores[y : y + rows, x : x + columns]
    i, j = np.nonzero(scores >= _PNET_SCORE)
    cells = np.stack([j + piece.source[1] // STRIDE, i + piece.source[0] // STRIDE], axis=1)
    corner = (STRIDE * cells + 1).astype(np.float32)
    scale = np.float32(piece.scale)
    low, high = np.floor(corner / scale), np.floor((corner + (WINDOW - 1)) / scale)
    return np.hstack([low, high, scores[i, j, None], offsets[:, y + i, x + j].T])


def _distinct(found: Floats) -> Floats:
    """The proposals of one level, without the lesser of overlapping ones."""
    found = found[np.argsort(-found[:, 4], kind="stable")[:_MOST_PROPOSALS]]
    return found[suppress(found[:, :4], found[:, 4], _SAME_LEVEL)]


def _touching(photo: Photo, boxes: Boxes) -> Boxes:
    """The boxes that hold at least one pixel of the photo."""
    left, right, top, bottom = _sides(photo, boxes)
    return boxes[(right > left) & (bottom > top)]


def _sides(photo: Photo, boxes: Boxes) -> tuple[Ints, Ints, Ints, Ints]:
    """Of what each box holds of the photo: first column, column after the last, first row, row after the last."""
    left, top = np.maximum(np.trunc(boxes[:, :2]).astype(np.int64) - 1, 0).T
    right, bottom = np.minimum(np.trunc(boxes[:, 2:]).astype(np.int64), (photo.width, photo.height)).T
    return left, right, top, bottom


def _judged(network: Network, photo: Photo, boxes: Boxes, size: int) -> list[Floats]:
    """The network's answers, a row for each box (n ≥ 1), about what the box holds, scaled to (size, size)."""
    answers = [run_in_batches(network, crops) for crops in _crops(photo, boxes, size)]
    return [np.concatenate(rows) for rows in zip(*answers, strict=True)]


def _crops(photo: Photo, boxes: Boxes, size: int) -> Iterator[Floats]:
    """What the boxes hold, a bounded number at a time: (n, size, size, 3)."""
    for start in range(0, len(boxes), _CROPS_AT_ONCE):
        left, right, top, bottom = _sides(photo, boxes[start : start + _CROPS_AT_ONCE])
        yield photo.means(*edges(top, bottom - top, size), *edges(left, right - left, size))
