"""The cache: exact search over a copy of the Templates in memory, made from the store and thrown away at will."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from faces.embed import Vectors
from index.store import Changes, Mark, Numbers, SubjectRow

Floats = NDArray[np.float64]

_FIRST_DEPTH: Final = 4  # Templates asked for per Candidate wanted, at first
_DEEPER: Final = 4
_ROUNDING: Final = 1e-5  # a float32 scan of unit rows errs by less
_BLAS_FROM: Final = 64  # probes


@dataclass(frozen=True, slots=True)
class Hit:
    score: float
    template: int
    subject: int
    """The Subject's number."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The Templates as of one version. Never changed, so any number of threads may search it without a lock."""

    mark: Mark
    subjects: Mapping[int, SubjectRow]
    ids: Numbers
    """(n,) rising."""
    owners: Numbers
    index: Any
    """faiss.IndexFlatIP over (n, dim); row i is Template ids[i]."""
    models: Counter[str]
    """Templates by the model_id that made them."""

    def search(self, probes: Vectors, k: int) -> list[list[Hit]]:
        """The best Template of each of the k nearest Subjects, for every probe (n, dim); best first.

        Exact: the Templates asked for grow until no Subject that was left out could still come in. Scores are computed
        anew in float64, so that equal rows score equal wherever they lie, and equal scores go to the older Template.
        """
        found: list[list[Hit]] = [[] for _ in probes]
        if not len(self.ids) or k < 1:
            return found
        depth, open_probes = min(_FIRST_DEPTH * k, len(self.ids)), np.arange(len(probes))
        while len(open_probes):
            unsure = []
            scores, rows = self._scan(probes[open_probes], depth)
            for probe, lowest, near in zip(open_probes, scores[:, -1], rows, strict=True):
                found[probe] = self._best_per_subject(probes[probe], near, k)
                complete = len(found[probe]) == k and lowest < found[probe][-1].score - _ROUNDING
                if depth < len(self.ids) and not complete:
                    unsure.append(probe)
            depth, open_probes = min(depth * _DEEPER, len(self.ids)), np.array(unsure, dtype=np.int64)
        return found

    def _scan(self, probes: Vectors, depth: int) -> tuple[NDArray[np.float32], Numbers]:
        """Scores and rows (n, depth) of the nearest Templates.

        Asked for one or a few probes, FAISS would split the rows over threads, four times slower on two cores than the
        sequential scan it takes when a selector is given; large batches are faster as one matrix product, without.
        """
        everything, parameters = faiss.IDSelectorAll(), faiss.SearchParameters()
        parameters.sel = everything
        scores, rows = self.index.search(probes, depth, params=parameters if len(probes) < _BLAS_FROM else None)
        return scores, rows

    def _best_per_subject(self, probe: Vectors, rows: Numbers, k: int) -> list[Hit]:
        """probe: (dim,). rows: those to choose from."""
        scores = np.minimum((self.index.reconstruct_batch(rows).astype(np.float64) * probe).sum(axis=1), 1.0)
        order = np.lexsort((self.ids[rows], -scores))
        _, first = np.unique(self.owners[rows[order]], return_index=True)
        best = order[np.sort(first)[:k]]
        return [Hit(float(scores[i]), int(self.ids[rows[i]]), int(self.owners[rows[i]])) for i in best]

    def rows_of(self, templates: Numbers) -> Vectors:
        """(n,) ids that are here -> (n, dim)."""
        rows: Vectors = self.index.reconstruct_batch(np.searchsorted(self.ids, templates))
        return rows

    def after(self, changes: Changes) -> "Snapshot":
        """The Snapshot that `changes` lead to; this one stays as it is. Copies all rows: a write costs O(n) here."""
        if changes.afresh:
            return empty(self.index.d)._with(changes)
        return self._with(changes)

    def _with(self, changes: Changes) -> "Snapshot":
        index = self.index
        if len(changes.ids):
            index = faiss.clone_index(self.index)
            index.add(changes.vectors)
        return Snapshot(
            changes.mark,
            {**self.subjects, **changes.subjects},
            np.concatenate([self.ids, changes.ids]),
            np.concatenate([self.owners, changes.owners]),
            index,
            self.models + changes.models,
        )


def empty(dim: int) -> Snapshot:
    """Of a gallery in which nothing was ever written."""
    nothing = np.empty(0, dtype=np.int64)
    return Snapshot(Mark(), {}, nothing, nothing, faiss.IndexFlatIP(dim), Counter())
