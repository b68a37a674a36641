"""Partial-FC shards: the classifier of InsightFace's arcface_torch, one file for each GPU that trained it.

Rank r of R holds C // R + (r < C % R) consecutive classes of C. All rows are stored, whatever share of them was
sampled in training; they have no unit length and no bias.
Source: deepinsight/insightface, recognition/arcface_torch, partial_fc.py and train.py, as they were since 2021.
"""

import re
from pathlib import Path
from typing import Final

import numpy as np
from torch import Tensor

from faces.embed import Vectors
from kd.classifier.tensors import as_weights, load_torch
from kd.errors import ClassifierRefused

_ERAS: Final = (
    (re.compile(r"rank:(\d+)_softmax_weight\.pt"), ()),
    (re.compile(r"rank_(\d+)_softmax_weight\.pt"), ()),
    (re.compile(r"softmax_fc_gpu_(\d+)\.pt"), ("weight",)),
    (re.compile(r"checkpoint_gpu_(\d+)\.pt"), ("state_dict_softmax_fc", "weight")),
)
"""How the files were called, oldest first -> the keys under which each has its rows."""


def is_sharded(folder: Path) -> bool:
    """Whether a file in this folder is called as a shard is."""
    return any(pattern.fullmatch(file.name) for file in folder.iterdir() for pattern, _ in _ERAS)


def read_shards(folder: Path) -> Vectors:
    """(classes, dim): the shards of a folder, joined in the numeric order of their ranks: 10 comes after 2, not 1.

    Raises ClassifierRefused when a rank is missing, ranks have different widths or not the heights of one run, or the
    folder holds the shards of two kinds of run.
    """
    files, keys = _shards(folder)
    parts = [as_weights(_rows(file, keys), file) for file in files]
    widths = [part.shape[1] for part in parts]
    if len(set(widths)) > 1:
        other = next(rank for rank, width in enumerate(widths) if width != widths[0])
        raise ClassifierRefused(
            f"rank {other} has rows of {widths[other]} values, rank 0 of {widths[0]}", str(folder), _REMEDY
        )
    heights = [len(part) for part in parts]
    each, more = divmod(sum(heights), len(heights))
    for rank, height in enumerate(heights):
        if height != each + (rank < more):
            raise ClassifierRefused(
                f"rank {rank} has {height} rows; {sum(heights)} shared among {len(heights)} give it"
                f" {each + (rank < more)}",
                str(folder),
                _REMEDY,
            )
    return np.concatenate(parts)


def _shards(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The shards by rank, and where in each the rows are."""
    kinds = []
    for pattern, keys in _ERAS:
        ranks = {int(match[1]): file for file in folder.iterdir() if (match := pattern.fullmatch(file.name))}
        if ranks:
            kinds.append((ranks, keys))
    if len(kinds) > 1:
        raise ClassifierRefused(f"shards under {len(kinds)} kinds of name", str(folder), "Keep those of one run.")
    ((ranks, keys),) = kinds
    for rank in range(max(ranks)):
        if rank not in ranks:
            raise ClassifierRefused(
                f"of {max(ranks) + 1} ranks, there is no shard of rank {rank}", str(folder), _REMEDY
            )
    return [ranks[rank] for rank in sorted(ranks)], keys


def _rows(file: Path, keys: tuple[str, ...]) -> Tensor:
    state = load_torch(file)
    for key in keys:
        state = state.get(key) if isinstance(state, dict) else None
    if not isinstance(state, Tensor):
        place = "/".join(keys) or "a tensor"
        raise ClassifierRefused(f"a shard without {place}", str(file), "Save the run with save_all_states.")
    return state


_REMEDY: Final = "Give a folder with every shard of one run."
