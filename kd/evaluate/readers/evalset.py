"""InsightFace's `.bin` evaluation sets: pairs of aligned crops (LFW, CFP-FP, AgeDB-30, CALFW, CPLFW)."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from faces.align import Image
from kd.data.crops import Crops
from kd.data.evalset import read_evaluation_set
from kd.evaluate.protocol import Pairs, Protocol, Template, joined_subjects

_LOG: Final = logging.getLogger(__name__)
_FOLDS: Final = 10


def read_evalset(path: Path, photos: Path | None) -> Protocol:  # noqa: ARG001 - every reader is called alike
    """1:1 with ten folds of consecutive pairs, as InsightFace's unshuffled KFold makes them.

    The file names nobody: crops that genuine pairs connect count as one person, so intervals are somewhat too narrow
    where a person has several pairs that share no crop. A pair with an image that does not read is left out, and the
    folds move up by it.
    """
    found = read_evaluation_set(path)
    if found.skipped:
        _LOG.warning("%s: %d images do not read, and their pairs are left out", path, len(found.skipped))
    keys = [f"{path}#{index}" for index in range(len(found.crops))]
    genuine = [(keys[a], keys[b]) for (a, b), same in zip(found.pairs.tolist(), found.same, strict=True) if same]
    subjects = joined_subjects(keys, {}, genuine)
    fold = np.arange(len(found.same)) * min(_FOLDS, len(found.same)) // max(len(found.same), 1)
    return Protocol(
        path.stem,
        tuple(Template(subjects[key], ((key,),)) for key in keys),
        (Pairs("", found.pairs[:, 0], found.pairs[:, 1], found.same, fold),),
        (),
        _Keyed(keys, found.crops),
    )


class _Keyed(Mapping[str, Image]):
    """Crops by key instead of number, decoded when they are asked for."""

    def __init__(self, keys: Sequence[str], crops: Crops) -> None:
        self._numbers = {key: number for number, key in enumerate(keys)}
        self._crops = crops

    def __getitem__(self, key: str) -> Image:
        return self._crops[self._numbers[key]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
