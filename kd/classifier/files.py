"""Files that hold a classifier: our own, facenet-pytorch's, InsightFace's, and plain matrices."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import safetensors
import safetensors.torch
import torch

from faces.embed import Vectors
from kd.classifier.shards import is_sharded, read_shards
from kd.classifier.tensors import as_weights, load_torch, unreadable
from kd.errors import ClassifierRefused

CLASSIFIER_FILE: Final = "classifier.safetensors"
"""Beside the `model.onnx` of a teacher that was trained here."""

_TENSOR: Final = "weights"
_NAMES: Final = "names"


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A classifier as its file holds it."""

    weights: Vectors
    """(rows, dim), finite, no row without a direction."""
    names: tuple[str, ...] | None
    """The person of each row; None where the file does not say."""
    in_order: bool = True
    """False where not even the order of the people is known: facenet-pytorch never published its own."""


def classifier_file(path: Path, weights: Vectors, names: tuple[str, ...]) -> bytes:
    """The file, to be at `path`, of class weights (rows, dim) with the names of their people.

    The format is safetensors: a float32 tensor `weights`, and in the metadata `names`, a JSON list with the name of
    each row. Raises ClassifierRefused when there is not one name for each row.
    """
    kept = _names(list(names), len(weights), path)
    tensors = {_TENSOR: torch.from_numpy(np.array(weights, dtype=np.float32))}
    written: bytes = safetensors.torch.save(tensors, {_NAMES: json.dumps(kept)})
    return written


def read_rows(path: Path) -> Rows:
    """The classifier at this path, with the names of its rows where there are any.

    path: `.safetensors`, `.npy`, `.pt` or `.pth`; a Model folder with `classifier.safetensors`; a folder of partial-FC
    shards. Names stand in the metadata (see `classifier_file`) or beside the file under its own name, as `.txt`, one
    a line, or `.json`, a list; for a folder of shards as `names.txt` or `names.json` in it.
    Raises ClassifierRefused when it does not read as one.
    """
    if path.is_dir() and not is_sharded(path):
        path = path / CLASSIFIER_FILE
    if not path.exists():
        raise ClassifierRefused("no class weights", str(path), f"Give means, or {_KINDS}.")
    rows = _read(path)
    beside = _names_beside(path, len(rows.weights))
    return rows if beside is None else Rows(rows.weights, beside)


def _read(path: Path) -> Rows:
    if path.is_dir():
        return Rows(read_shards(path), None)
    if path.suffix not in _READERS:
        raise ClassifierRefused("not a file of class weights", str(path), f"Give means, or {_KINDS}.")
    return _READERS[path.suffix](path)


def _read_safetensors(path: Path) -> Rows:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            names = json.loads(metadata[_NAMES]) if _NAMES in metadata else None
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise unreadable(path, error) from None
    matrices = [tensor for tensor in tensors.values() if tensor.ndim == 2]
    if len(matrices) != 1:
        raise ClassifierRefused(
            f"one matrix of class weights was expected, not {len(matrices)}, in", str(path), "Save it alone."
        )
    weights = as_weights(matrices[0], path)
    return Rows(weights, None if names is None else _names(names, len(weights), path))


def _read_npy(path: Path) -> Rows:
    try:
        values = torch.from_numpy(np.load(path, allow_pickle=False))
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise unreadable(path, error) from None
    return Rows(as_weights(values, path), None)


def _read_torch(path: Path) -> Rows:
    """A tensor, or one of the places of `_PLACES` in a dictionary."""
    state = load_torch(path)
    for key, in_order in _PLACES.items():
        found = _at(state, key)
        if found is not None:
            return Rows(as_weights(found, path), None, in_order)
    raise ClassifierRefused("no class weights inside", str(path), f"Looked for a tensor, or {', '.join(_PLACES)[2:]}.")


_PLACES: Final[Mapping[str, bool]] = MappingProxyType(
    {
        "": True,  # the file is the tensor: partial FC of 2021
        "weight": True,  # partial FC's own module
        "state_dict_softmax_fc/weight": True,  # arcface_torch's checkpoint_gpu_0.pt, of one GPU
        "logits.weight": False,  # facenet-pytorch
    }
)
"""Where a file keeps its classifier: keys, one in another -> whether its rows are in the order of the labels."""


def _at(state: Any, place: str) -> Any:
    for key in filter(None, place.split("/")):
        state = state.get(key) if isinstance(state, Mapping) else None
    return state if isinstance(state, torch.Tensor) else None


_READERS: Final[Mapping[str, Callable[[Path], Rows]]] = MappingProxyType(
    {".safetensors": _read_safetensors, ".npy": _read_npy, ".pt": _read_torch, ".pth": _read_torch}
)
_KINDS: Final = f"a {', '.join(_READERS)} file, a Model folder with {CLASSIFIER_FILE}, or a folder of partial-FC shards"


def _names_beside(path: Path, rows: int) -> tuple[str, ...] | None:
    base = path / "names" if path.is_dir() else path
    found = [file for suffix in (".txt", ".json") if (file := base.with_suffix(suffix)).is_file()]
    if len(found) > 1:
        raise ClassifierRefused("two lists of names beside", str(path), "Keep one, .txt or .json.")
    if not found:
        return None
    try:
        text = found[0].read_text(encoding="utf-8")
        names = json.loads(text) if found[0].suffix == ".json" else text.splitlines()
    except ValueError as error:
        raise unreadable(found[0], error) from None
    return _names(names, rows, found[0])


def _names(values: Any, rows: int, path: Path) -> tuple[str, ...]:
    """Raises ClassifierRefused unless every row has a name of its own."""
    if not isinstance(values, list) or not all(isinstance(name, str) for name in values):
        raise ClassifierRefused("not a list of names", str(path), "Write one name for each row, in their order.")
    if len(values) != rows:
        raise ClassifierRefused(f"{rows} rows of class weights, but names in {path}", len(values), "Give one for each.")
    if len(set(values)) != rows:
        raise ClassifierRefused(f"rows without a name of their own in {path}", rows - len(set(values)), "Rename them.")
    return tuple(values)
