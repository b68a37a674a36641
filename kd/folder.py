"""A Model folder of an ONNX file that nothing here has trained."""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from faces.errors import CardInvalid
from faces.files import write_whole
from faces.models import read_model
from faces.space import ModelCard


def write_model(out: Path, onnx: bytes, card: ModelCard) -> ModelCard:
    """Write a Model into the folder `out`, in place of one that is there; gives the card as it reads there.

    Raises CardInvalid for a card that would not read again; `out` is then as it was.
    """
    written = card.to_json().encode()
    try:
        TypeAdapter(ModelCard).validate_json(written)  # NaN and infinity are null in JSON
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"]))
        raise CardInvalid(f"a card that would not read, for its {field}", card.name, "Give finite numbers.") from None
    out.mkdir(parents=True, exist_ok=True)
    (out / "card.json").unlink(missing_ok=True)  # a card never stands beside a file that it does not describe
    write_whole(out / "model.onnx", onnx)
    write_whole(out / "card.json", written)
    return read_model(out).card
