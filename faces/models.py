"""The name of a Model -> the Model: `dlib`, a shipped name, `onnx:PATH`, or a folder."""

import importlib.metadata
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl

import numpy as np
import platformdirs

from faces.align import ARCFACE_112, RECIPES
from faces.embed import ModelEmbedder
from faces.errors import CacheUnavailable, CardInvalid, ModelUnknown, WeightsMissing, WeightsUnreadable
from faces.files import write_whole
from faces.runtime import Device, load_network
from faces.space import Input, Licence, ModelCard, Recipe, Space, digest, read_card, short_id
from faces.weights.dlib import read_dlib_network
from faces.weights.dlib_graph import dlib_onnx
from faces.weights.graph import count_parameters

_LOG: Final = logging.getLogger(__name__)

CACHE_VARIABLE: Final = "HEIRLOOM_CACHE"
_DLIB_PACKAGE: Final = "face_recognition_models"
_DLIB_FILE: Final = "dlib_face_recognition_resnet_model_v1.dat"


@dataclass(frozen=True, slots=True)
class Model:
    """A card and the ONNX file that it describes."""

    card: ModelCard
    onnx: Path
    card_file: Path | None = None
    """Where the card is kept; None where it was made up for a file without one."""


def find_model(name: str) -> Model:
    """The Model of this name: a shipped one, `dlib`, `onnx:PATH[?OPTIONS]`, or the path of a folder.

    OPTIONS: those of `foreign_model`, as `colour=BGR&scale=127.5`.
    Raises ModelUnknown, CardInvalid, WeightsMissing or WeightsUnreadable.
    """
    if name.startswith("onnx:"):
        return _onnx_file(name.removeprefix("onnx:"))
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    shipped = _shipped_folder() / name
    if name in shipped_names():
        return read_model(shipped)
    if Path(name).is_dir():
        return read_model(Path(name))
    known = ", ".join(model_names())
    raise ModelUnknown("no such Model", name, f"Choose from {known}, onnx:PATH, or the path of a Model folder.")


def model_names() -> list[str]:
    """Every Model that needs no path."""
    return sorted({*_BUILT_IN, *shipped_names()})


def shipped_names() -> list[str]:
    """The Models that come with the project, by name."""
    return sorted(path.parent.name for path in _shipped_folder().glob("*/model.onnx"))


def read_model(folder: Path) -> Model:
    """The Model in a folder. Raises CardInvalid when card and file disagree, WeightsMissing when there is no file."""
    return _model(folder / "card.json", folder / "model.onnx")


def open_embedder(model: Model, *, device: Device = "cpu", threads: int | None = None) -> ModelEmbedder:
    """Load the Model for inference. Raises CardInvalid when the network is not what the card says it is."""
    network = load_network(model.onnx, device=device, threads=threads)
    card, found = model.card, list(network.inputs.values())
    face = (3, card.input.height, card.input.width)
    if len(found) != 1 or not _accepts(found[0], face):
        raise CardInvalid(f"input is {found} in the file, but {face} by the card", str(model.onnx), _RESTORE)
    batch = found[0][0] or 1
    answers = network.run(np.zeros((batch, *face), dtype=np.float32))
    if [answer.shape for answer in answers] != [(batch, card.dim)]:
        shapes = [answer.shape[1:] for answer in answers]
        raise CardInvalid(f"dim is {shapes} in the file, but {card.dim} by the card", str(model.onnx), _RESTORE)
    return ModelEmbedder(card, network)


def _accepts(shape: tuple[int | None, ...], face: tuple[int, ...]) -> bool:
    """Whether a network with an input of this shape takes batches of such faces."""
    return len(shape) == 1 + len(face) and all(
        size in (None, wanted) for size, wanted in zip(shape[1:], face, strict=True)
    )


def cache_folder() -> Path:
    """Where networks rebuilt from other packages' weights are kept; `HEIRLOOM_CACHE` moves it.

    Raises CacheUnavailable.
    """
    try:
        folder = Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("heirloom"))
    except RuntimeError:
        raise _no_cache("this user has no home", "~/.cache/heirloom") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_cache(error.strerror or str(error), str(folder)) from None
    return folder


def _no_cache(reason: str, folder: str) -> CacheUnavailable:
    said = f"the folder of rebuilt networks cannot be written ({reason.lower()})"
    return CacheUnavailable(said, folder, f"Set {CACHE_VARIABLE} to a folder that can.")


def installed_file(package: str, name: str, install: str) -> Path:
    """A file of an installed distribution, found without importing it. Raises WeightsMissing with the exact command."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == name and (path := Path(str(file.locate()))).is_file():
            return path
    raise WeightsMissing(
        f"the weights come with the package {package}, which is not installed", name, f"Run: {install}"
    )


def dlib_weights() -> Path:
    """dlib's own weight file. Raises WeightsMissing with the command that installs it, or WeightsUnreadable."""
    path = installed_file(_DLIB_PACKAGE, _DLIB_FILE, f"pip install --no-deps {_DLIB_PACKAGE}==0.3.0")
    if digest(path.read_bytes()) != read_card(_dlib_card()).space.teacher:
        raise WeightsUnreadable("not the published dlib weights", str(path), f"Install {_DLIB_PACKAGE} again.")
    return path


def _shipped_folder() -> Path:
    """`models/` beside the packages, in a checkout and in the wheel alike."""
    inside = Path(__file__).parent / "shipped"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "models"


def _dlib_card() -> Path:
    return _shipped_folder() / "dlib" / "card.json"


def _dlib() -> Model:
    """dlib's ResNet: the card is shipped, the weights come from PyPI, the network is rebuilt once and cached."""
    weights = dlib_weights()
    card_file = _dlib_card()
    card = read_card(card_file)
    onnx = cache_folder() / f"dlib-{short_id(card.space.teacher)}.onnx"
    if not onnx.is_file() or short_id(digest(onnx.read_bytes())) != card.model_id:
        network = dlib_onnx(read_dlib_network(weights))
        try:
            write_whole(onnx, network)
        except OSError as error:
            raise _no_cache(error.strerror or str(error), str(onnx.parent)) from None
    model_id = short_id(digest(onnx.read_bytes()))  # the card's, unless another release of onnx writes other bytes
    return Model(replace(card, model_id=model_id, teacher_model_id=model_id), onnx, card_file)


def _model(card_path: Path, onnx: Path) -> Model:
    card = read_card(card_path)
    if not onnx.is_file():
        raise WeightsMissing(
            "a card without its model", str(onnx), "A Model is a folder with model.onnx and card.json."
        )
    found = short_id(digest(onnx.read_bytes()))
    if found != card.model_id:
        raise CardInvalid(f"model_id is {card.model_id} in the card, but {found} by the file", str(onnx), _RESTORE)
    return Model(card, onnx, card_path)


def _onnx_file(reference: str) -> Model:
    """An ONNX file with `card.json`'s twin beside it (`face.onnx` + `face.json`), or with ArcFace's conventions."""
    location, _, query = reference.partition("?")
    path = Path(location)
    if not path.is_file():
        raise ModelUnknown("no such file", location, "Give the path of an ONNX file: onnx:PATH.")
    beside = path.with_suffix(".json")
    if beside.is_file() and not query:
        return _model(beside, path)
    if not query:
        _LOG.warning("%s has no card: taken as RGB, (x - 127.5) / 128, aligned to arcface-112", path)
    try:
        return foreign_model(path, dict(parse_qsl(query, strict_parsing=bool(query))))
    except ValueError:
        raise ModelUnknown("not a preprocessing", query, _OPTIONS) from None


def foreign_model(path: Path, options: Mapping[str, str]) -> Model:
    """An ONNX file without a card as a teacher, with the card that `options` and the file make up.

    options: any of `colour` (RGB or BGR), `mean` and `scale` of the pixels (one mean, or three with commas), `crop`
    (the name of a Recipe) and `size` (of the crop, in pixels). Without them it is what ArcFace models published as ONNX
    share: RGB, (x - 127.5) / 128, arcface-112. AdaFace's want BGR.
    Raises ModelUnknown when the options are not these, or the network does not take such a face.
    """
    given, recipe = _preprocessing(options)
    data = path.read_bytes()
    dim = _output_dim(path, given)
    space = Space(teacher=digest(data), dim=dim, crop=recipe.name)
    card = ModelCard(
        name=path.stem,
        model_id=short_id(digest(data)),
        role="teacher",
        space=space,
        space_id=space.space_id,
        teacher_model_id=short_id(digest(data)),
        input=given,
        crop=recipe,
        dim=dim,
        parameters=count_parameters(data),
        licence=Licence(code="unknown", weights="unknown", data="unknown"),
        trained=None,
        measured={},
        created=datetime.now(UTC).date().isoformat(),
    )
    return Model(card, path)


def _preprocessing(options: Mapping[str, str]) -> tuple[Input, Recipe]:
    """What `options` say of a network's faces, the rest by convention."""
    unknown = sorted(set(options) - set(_DEFAULTS))
    if unknown:
        raise ModelUnknown("no such option", ", ".join(unknown), _OPTIONS)
    chosen = {**_DEFAULTS, **options}
    if chosen["crop"] not in RECIPES:
        raise ModelUnknown("no such crop", chosen["crop"], f"Choose from {', '.join(sorted(RECIPES))}.")
    recipe = RECIPES[chosen["crop"]]
    try:
        size = int(chosen["size"] or recipe.height)
        mean = [float(value) for value in chosen["mean"].split(",")] * (1 if "," in chosen["mean"] else 3)
        given = Input(size, size, chosen["colour"], tuple(mean), float(chosen["scale"]))  # type: ignore[arg-type]
    except ValueError:
        wrong = ", ".join(f"{name}={value}" for name, value in options.items())
        raise ModelUnknown("not a preprocessing", wrong, _OPTIONS) from None
    return given, recipe.scaled(size, size)


def _output_dim(path: Path, given: Input) -> int:
    face = f"{given.height} × {given.width} face"
    network = load_network(path)
    try:
        ((batch, *_),) = network.inputs.values()
        (answer,) = network.run(np.zeros((batch or 1, 3, given.height, given.width), dtype=np.float32))
    except (RuntimeError, ValueError):
        raise ModelUnknown(f"does not turn one {face} into one embedding", str(path), _OPTIONS) from None
    if answer.ndim != 2:
        raise ModelUnknown(f"answers a {face} with shape {answer.shape}, not (1, dim)", str(path), _OPTIONS)
    return int(answer.shape[1])


_DEFAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {"colour": "RGB", "mean": "127.5", "scale": "128", "crop": ARCFACE_112.name, "size": ""}
)
_RESTORE: Final = "One of the two was changed: restore both from the same export."
_OPTIONS: Final = (
    "Put a card beside it (PATH with .json), or say how it wants its faces, such as"
    " onnx:PATH?colour=RGB&mean=127.5&scale=128&crop=arcface-112&size=112."
)
_BUILT_IN: Final[Mapping[str, Callable[[], Model]]] = MappingProxyType({"dlib": _dlib})
