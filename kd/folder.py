"""A Model folder, in place of one that is there: of that one, no part stays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from faces.errors import CardInvalid
from faces.files import write_whole
from faces.models import read_model
from faces.space import ModelCard
from kd.classifier.files import CLASSIFIER_FILE

ONNX_FILE: Final = "model.onnx"
WEIGHTS_FILE: Final = "model.safetensors"
"""The weights of a student that was trained here, as `--init` takes them."""

_PARTS: Final = frozenset({ONNX_FILE, WEIGHTS_FILE, CLASSIFIER_FILE})
_CARD: Final = "card.json"


def write_model(out: Path, onnx: bytes, card: ModelCard) -> ModelCard:
    """`replace_model` by an ONNX file that nothing here has trained."""
    return replace_model(out, {ONNX_FILE: onnx}, card)


def replace_model(out: Path, parts: Mapping[str, bytes], card: ModelCard) -> ModelCard:
    """Write a Model into the folder `out`; gives the card as it reads there.

    parts: by their names, of `_PARTS`. Those that are not given are removed: they were another Model's.
    Raises CardInvalid for a card that would not read again; `out` is then as it was.
    """
    written = card.to_json().encode()
    try:
        TypeAdapter(ModelCard).validate_json(written)  # NaN and infinity are null in JSON
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"]))
        raise CardInvalid(f"a card that would not read, for its {field}", card.name, "Give finite numbers.") from None
    out.mkdir(parents=True, exist_ok=True)
    (out / _CARD).unlink(missing_ok=True)  # a card never stands beside a file that it does not describe
    for name in _PARTS - parts.keys():
        (out / name).unlink(missing_ok=True)
    for name, data in parts.items():
        write_whole(out / name, data)
    write_whole(out / _CARD, written)
    return read_model(out).card
