"""Other people's tensor files, read without trust: nothing in them is run."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faces.embed import Vectors
from kd.errors import ClassifierRefused


def load_torch(path: Path) -> Any:
    """What `torch.save` wrote, of tensors and plain values alone. Raises ClassifierRefused."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file raises whatever its opcodes stumble over
        raise unreadable(path, error) from None


def as_weights(values: Tensor, path: Path) -> Vectors:
    """(rows, dim) float32. Raises ClassifierRefused when it is no matrix, or a row is NaN, infinite or zero."""
    if values.ndim != 2 or not values.is_floating_point() or len(values) == 0:
        shape = " × ".join(map(str, values.shape)) or "a single number"
        raise ClassifierRefused(
            f"not a matrix of class weights but {shape} {values.dtype}, in",
            str(path),
            "It needs one row for each person.",
        )
    weights = np.ascontiguousarray(values.to(torch.float32).numpy())
    lengths = np.linalg.norm(weights, axis=1)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if bad.size:
        raise ClassifierRefused(
            f"{bad.size} class weights without a direction (NaN, infinite or zero) in {path}; the first is row",
            int(bad[0]),
            "The teacher's training broke, or the file is damaged.",
        )
    return weights


def unreadable(path: Path, error: Exception) -> ClassifierRefused:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ClassifierRefused(f"does not read as class weights ({reason})", str(path), "Copy or save it again.")
