"""The teacher's embeddings of views: asked for as they are shown, or kept on disk for the next time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from faces.embed import Crops, Vectors
from faces.space import Recipe
from kd.config import Viewing
from kd.data.kept import kept_array
from kd.data.views import View


class Oracle(Protocol):
    """A network that answers for crops in its own Recipe: a Model, or a teacher in the making."""

    @property
    def recipe(self) -> Recipe: ...

    @property
    def identity(self) -> str:
        """What its answers are known by, see ModelEmbedder."""
        ...

    def embed(self, crops: Crops) -> Vectors: ...


@dataclass(frozen=True, slots=True, eq=False)
class Teaching:
    """Who teaches which view.

    teacher: (epoch, photo) -> its number among `oracles`; -1 where nobody does, whose target is a row of NaN.
    """

    oracles: Sequence[Oracle]
    teacher: Callable[[int, int], int]
    sharp: bool
    """The teacher sees a view of low resolution as it was before."""
    dim: int

    def answers(self, epoch: int, photos: NDArray[np.int64], views: Sequence[View]) -> Vectors:
        """(n, dim) unit rows: the embedding of each view by its teacher."""
        rows = np.full((len(photos), self.dim), np.nan, dtype=np.float32)
        chosen = np.array([self.teacher(epoch, int(photo)) for photo in photos])
        for number, oracle in enumerate(self.oracles):
            mine = np.flatnonzero(chosen == number)
            if mine.size:
                rows[mine] = oracle.embed(np.stack([views[int(i)].crop(oracle.recipe, sharp=self.sharp) for i in mine]))
        return rows


class KeptAnswers:
    """`Teaching` of views that come again: each is embedded once, and kept on disk as float16."""

    def __init__(
        self, folder: Path, teaching: Teaching, *, viewing: Viewing, photos: int, whose: Sequence[str] = ()
    ) -> None:
        """folder: where. whose: what it follows from which teacher a photo has, where there are several."""
        record = np.dtype([("row", np.float16, teaching.dim), ("kept", np.bool_)])
        asked = [*(oracle.identity for oracle in teaching.oracles), str(teaching.sharp), *whose]
        self._answers = kept_array(folder, "targets", record, viewing=viewing, photos=photos, of=asked)
        self._teaching = teaching

    def answers(self, epoch: int, photos: NDArray[np.int64], views: Sequence[View]) -> Vectors:
        """See Teaching; view `epoch mod views` of each photo."""
        mine = self._answers[epoch % len(self._answers)]
        missing = np.flatnonzero(~mine["kept"][photos])
        if missing.size:
            fresh = self._teaching.answers(epoch, photos[missing], [views[int(i)] for i in missing])
            mine["row"][photos[missing]] = fresh
            mine["kept"][photos[missing]] = True  # last: another process may be reading
        rows = mine["row"][photos].astype(np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


Targets = Teaching | KeptAnswers
