"""A Model folder of an ONNX file that nothing here has trained."""

from pathlib import Path

from faces.files import write_whole
from faces.models import read_model
from faces.space import ModelCard


def write_model(out: Path, onnx: bytes, card: ModelCard) -> ModelCard:
    """Write a Model into the folder `out`, in place of one that is there; gives the card as it reads there."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "card.json").unlink(missing_ok=True)  # a card never stands beside a file that it does not describe
    write_whole(out / "model.onnx", onnx)
    write_whole(out / "card.json", card.to_json().encode())
    return read_model(out).card
