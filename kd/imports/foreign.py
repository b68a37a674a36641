"""Any ONNX face network as a teacher: InsightFace's, AdaFace's, anybody's."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx.external_data_helper import uses_external_data

from faces.errors import ModelUnknown, WeightsUnreadable
from faces.models import foreign_model, open_embedder
from faces.space import ModelCard
from kd.folder import write_model
from kd.imports.download import require_digest

_ARITHMETIC: Final = frozenset({"Add", "Sub", "Mul", "Div"})
_PIXELS: Final = frozenset({"mean", "scale"})


def import_onnx(path: Path, out: Path, options: Mapping[str, str], *, sha256: str | None) -> ModelCard:
    """Write an ONNX file and the card that `options` make up (see `faces.models.foreign_model`) into the folder `out`.

    InsightFace's arcface_torch trains on RGB, (x - 127.5) / 127.5: the convention's 128 differs by less than half a
    percent of contrast, `scale=127.5` is exact. AdaFace wants `colour=BGR`, and nothing in its file tells.
    Raises ModelUnknown when the options do not fit the file, a mean or the scale is no finite number, or the network
    begins with arithmetic on its pixels and no mean or scale is given: InsightFace's older files normalise them
    themselves, and twice is wrong without a sign of it. Raises WeightsUnreadable for a file that is no ONNX model, is
    not all of it, has another SHA-256 than this, or answers noise with a vector without a direction. Whatever is
    raised, `out` is as it was.
    """
    if not path.is_file():
        raise ModelUnknown(
            "no such teacher or file",
            str(path),
            "Give the path of an ONNX file, facenet-vggface2 or facenet-casia-webface.",
        )
    data = path.read_bytes()
    if sha256 is not None:
        require_digest(data, sha256, str(path))
    model = foreign_model(path, options)
    if not all(map(math.isfinite, (*model.card.input.mean, model.card.input.scale))):
        wrong = ", ".join(f"{name}={options[name]}" for name in sorted(_PIXELS & set(options)))
        raise ModelUnknown("not a preprocessing", wrong, "Give finite numbers, as --mean 127.5 --scale 128.")
    graph = onnx.load_model_from_string(data).graph
    if any(uses_external_data(tensor) for tensor in graph.initializer):
        raise WeightsUnreadable(
            "a model that keeps its weights in another file", str(path), "Save both as one ONNX file."
        )
    operator = _first_arithmetic(graph)
    if operator is not None and not _PIXELS & set(options):
        raise ModelUnknown(
            f"the network begins with {operator} on its input and may normalise it itself",
            str(path),
            "Say --mean 0 --scale 1 if it does, else the mean and scale that it wants.",
        )
    side = model.card.input.height
    open_embedder(model).embed(np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8))
    return write_model(out, data, replace(model.card, name=out.name))


def _first_arithmetic(graph: onnx.GraphProto) -> str | None:
    """The operator, where the first thing done to the input is to add to it or to multiply it."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = {value.name for value in graph.input} - weights
    return next((node.op_type for node in graph.node if node.op_type in _ARITHMETIC and inputs & set(node.input)), None)
