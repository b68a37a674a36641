"""What makes two embeddings comparable (Space), and what is known about a Model (ModelCard)."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from faces.errors import CardInvalid, SpaceMismatch

_STRICT: Final = ConfigDict(extra="forbid")
_ID_LENGTH: Final = 16

Point = tuple[float, float]
FivePoints = tuple[Point, Point, Point, Point, Point]
"""x, y of left eye, right eye, nose, left and right mouth corner, as the viewer sees them; pixel centres whole."""


def digest(data: bytes) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(data).hexdigest()


def short_id(hexadecimal: str) -> str:
    """The first 16 digits: what `model_id` and `space_id` are."""
    return hexadecimal[:_ID_LENGTH]


@dataclass(frozen=True, slots=True, config=_STRICT)
class Recipe:
    """How a face becomes a Crop: a similarity transform of its landmarks onto `points` in `height` x `width` pixels."""

    name: str
    height: int
    width: int
    points: FivePoints

    def scaled(self, height: int, width: int) -> "Recipe":
        """The same view of the face at another size; pixel centres are kept in place."""
        fy, fx = height / self.height, width / self.width
        points = tuple(((x + 0.5) * fx - 0.5, (y + 0.5) * fy - 0.5) for x, y in self.points)
        return Recipe(self.name, height, width, points)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, config=_STRICT)
class Space:
    """What makes two embeddings comparable. Every field counts."""

    teacher: str
    """SHA-256 of the teacher's weight file."""
    dim: int
    crop: str
    """The name of the teacher's Recipe."""
    normalisation: Literal["unit"] = "unit"
    metric: Literal["cosine"] = "cosine"

    @property
    def space_id(self) -> str:
        return short_id(
            digest(json.dumps(SPACE_JSON.dump_python(self), sort_keys=True, separators=(",", ":")).encode())
        )

    def differences(self, other: "Space") -> dict[str, tuple[Any, Any]]:
        """Each field in which the two differ: name -> (this value, the other's)."""
        mine, others = SPACE_JSON.dump_python(self), SPACE_JSON.dump_python(other)
        return {name: (mine[name], others[name]) for name in mine if mine[name] != others[name]}

    def require_same(self, found: "Space", remedy: str) -> None:
        """Raises SpaceMismatch when `found` is not this Space."""
        if fields := found.differences(self):
            raise SpaceMismatch("embeddings of another Space (field: found, expected)", fields, remedy)


@dataclass(frozen=True, slots=True, config=_STRICT)
class Input:
    """What the network wants: `(crop - mean) / scale`, channels in the order of `colour`."""

    height: int
    width: int
    colour: Literal["RGB", "BGR"]
    mean: tuple[float, float, float]
    scale: Annotated[float, Field(gt=0)]


@dataclass(frozen=True, slots=True, config=_STRICT)
class Licence:
    """Under what terms each part may be used: SPDX identifiers where there is one, else a sentence."""

    code: str
    weights: str
    data: str


@dataclass(frozen=True, slots=True, config=_STRICT)
class Training:
    """How the Model came to be."""

    method: str
    data: str
    images: int
    epochs: int
    seed: int
    command: str


@dataclass(frozen=True, slots=True, config=_STRICT)
class Cell:
    """One cell of the 2×2: probes by one Embedder against galleries by another, under one protocol.

    `fnir` and `thresholds` map an FPIR, written as a decimal ("0.01"), to the rate and the cosine that gives it.
    """

    subjects: int
    mated: int
    non_mated: int
    rank1: float
    fnir: dict[str, float]
    thresholds: dict[str, float]
    pairs: float | None = None
    """1:1 accuracy, the threshold of one fold chosen on the other."""


Grid = dict[Literal["T→T", "S→T", "S→S", "T→S"], Cell]
"""Probe model → gallery model. A teacher has T→T alone."""


@dataclass(frozen=True, slots=True, config=_STRICT)
class ModelCard:
    """Everything that must be known to use a Model and to judge it; `card.json` beside `model.onnx`."""

    name: str
    model_id: str
    role: Literal["teacher", "student"]
    space: Space
    space_id: str
    teacher_model_id: str
    input: Input
    crop: Recipe
    dim: int
    parameters: int
    licence: Licence
    trained: Training | None
    measured: dict[str, Grid]
    created: str
    """ISO 8601 date."""

    def to_json(self) -> str:
        return _CARD.dump_json(self, indent=2).decode() + "\n"


SPACE_JSON: Final = TypeAdapter(Space)
"""A Space as JSON, and back."""

_CARD: Final = TypeAdapter(ModelCard)


def read_card(path: Path) -> ModelCard:
    """The card in a `card.json`. Raises CardInvalid when it is none, or contradicts itself."""
    try:
        card = _CARD.validate_json(path.read_bytes())
    except FileNotFoundError:
        raise CardInvalid("no card", str(path), "A Model is a folder with model.onnx and card.json.") from None
    except ValidationError as error:
        raise CardInvalid(f"not a ModelCard ({_first(error)})", str(path), _REMEDY) from None
    stated: Mapping[str, tuple[object, object]] = {
        "space_id": (card.space_id, card.space.space_id),
        "dim": (card.dim, card.space.dim),
        "input size": ((card.input.height, card.input.width), (card.crop.height, card.crop.width)),
    }
    for field, (found, expected) in stated.items():
        if found != expected:
            raise CardInvalid(f"{field} is {found!r}, but the rest of the card gives {expected!r}", str(path), _REMEDY)
    return card


_REMEDY: Final = "Export the Model again with kd export, or take the card that came with it."


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'file'}: {problem['msg']}"
