"""A Model in int8: the same network with 8-bit weights and activations, for processors that multiply bytes faster."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.preprocess import quant_pre_process

from faces.detect import open_detector
from faces.embed import Crops, network_input
from faces.models import Model, open_embedder, read_model
from faces.space import ModelCard, digest, short_id
from kd.data.people import prepare_people
from kd.data.views import some_faces
from kd.errors import DataUnusable, ExportDiffers
from kd.folder import write_model
from kd.halves import widened

FACES: Final = 500
"""Half of them show how large activations become, the other half whether the answers are still the same."""

_FEWEST: Final = 2  # one in each half
_BATCH: Final = 16
_NEAREST: Final = 0.99  # mean cosine to the embeddings of the Model itself
_REMEDY: Final = "Keep this Model in float32: its layers do not fit 8 bits."


def faces_for(model: Model, photos: Sequence[Path], data: Path | None) -> Crops:
    """Crops of up to FACES photos, spread evenly over these folders of people, as the Model takes them.

    data: where prepared faces are kept; a folder that goes again unless given. Raises what `prepare_people` raises.
    """
    with TemporaryDirectory() as scratch:
        people = prepare_people(photos, data or Path(scratch, "data"), open_detector)
        return some_faces(people.crops, model.card.crop, FACES)


def quantize(model: Model, faces: Crops, out: Path, *, name: str) -> ModelCard:
    """Write an int8 Model into the folder `out`, in place of one that is there; gives its card, with nothing measured.

    Weights are quantized a channel at a time, activations by the least and the greatest value that they take on half of
    the faces (n, height, width, 3), crops as the Model takes them.
    Raises ExportDiffers when its embeddings of the other half are too far from the Model's own, DataUnusable where
    there is no other half; `out` stays as it was.
    """
    if len(faces) < _FEWEST:
        raise DataUnusable("too few faces to check an int8 Model by", len(faces), "Give photos of its training.")
    shown, kept_back = faces[::2], faces[1::2]
    made = int8(model, shown)
    card = replace(
        model.card,
        name=name,
        model_id=short_id(digest(made)),
        role="student",  # of itself, where it was a teacher: it answers in a Space that is another file's
        measured={},
        created=datetime.now(UTC).date().isoformat(),
    )
    with TemporaryDirectory() as scratch:
        write_model(Path(scratch), made, card)
        own, found = (open_embedder(each).embed(kept_back) for each in (model, read_model(Path(scratch))))
    nearness = float((own * found).sum(axis=1).mean())
    if not nearness >= _NEAREST:  # NaN is not near either
        raise ExportDiffers("in int8 the mean cosine to the Model's own embeddings is", round(nearness, 4), _REMEDY)
    return write_model(out, made, card)


def int8(model: Model, faces: Crops) -> bytes:
    """The Model's ONNX file with QuantizeLinear and DequantizeLinear around its convolutions and products."""
    with TemporaryDirectory() as scratch:
        whole, ready, made = (Path(scratch, f"{step}.onnx") for step in ("whole", "ready", "int8"))
        whole.write_bytes(widened(model.onnx.read_bytes()))
        quant_pre_process(whole, ready, skip_symbolic_shape=True, skip_optimization=True)
        quantize_static(
            ready,
            made,
            _Shown(model, faces),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        return made.read_bytes()


class _Shown(CalibrationDataReader):  # type: ignore[misc]
    """Batches of what the network is given of some faces."""

    def __init__(self, model: Model, faces: Crops) -> None:
        self._batches = _inputs(model, faces)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)


def _inputs(model: Model, faces: Crops) -> Iterator[dict[str, Any]]:
    (name,) = [value.name for value in onnx.load(model.onnx, load_external_data=False).graph.input]
    for start in range(0, len(faces), _BATCH):
        yield {name: network_input(faces[start : start + _BATCH], model.card.input)}
