"""The 2×2: the same protocol with probes by {S, T} against galleries by {S, T}, and what the four say together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from kd.evaluate.bootstrap import Samples, draw_subjects, figure
from kd.evaluate.figures import (
    AtThreshold,
    CellName,
    Comparison,
    PairCell,
    PairResult,
    SearchCell,
    SearchResult,
    Shift,
    Transfer,
)
from kd.evaluate.pairs import fars_told, pair_curves, pair_samples
from kd.evaluate.photos import Embeddings, Pixels
from kd.evaluate.protocol import Ints, Pairs, Protocol, Search
from kd.evaluate.rates import Rates, Weights
from kd.evaluate.search import (
    FPIRS,
    RANKS,
    Found,
    Parts,
    find,
    flip_samples,
    parts_of,
    score_edges,
    search_curves,
    search_samples,
    transfer_samples,
)
from kd.evaluate.templates import Rows, pair_scores, template_rows

_CELLS: Final[tuple[CellName, ...]] = ("T→T", "S→T", "S→S", "T→S")

Sides = Mapping[str, Rows]
"""Of the teacher "T" and, where there is one, the student "S"."""


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """A protocol with what its people are resampled by."""

    protocol: Protocol
    subjects: Ints
    weights: Weights

    def sides(self, embeddings: Mapping[str, Embeddings], dim: int) -> dict[str, Rows]:
        """The templates by each model; embeddings: of "T" and "S"."""
        return {side: template_rows(self.protocol.templates, rows, dim) for side, rows in embeddings.items()}


def judgement(protocol: Protocol, *, resamples: int, seed: int) -> Judgement:
    """The same resamples for the same protocol and seed."""
    subjects = protocol.subjects()
    templates = [side for pairs in protocol.pairs for side in (pairs.left, pairs.right)]
    templates += [search.probes for search in protocol.searches]
    weights = draw_subjects(subjects[np.concatenate(templates)], subjects.max() + 1, resamples=resamples, seed=seed)
    return Judgement(protocol, subjects, weights)


def judge_pairs(judged: Judgement, pairs: Pairs, probes: Sides, gallery: Sides, pixels: Pixels) -> PairResult:
    """1:1 in each cell; probes: as shown at `pixels`, gallery: as the photos are."""
    cells: dict[CellName, PairCell] = {}
    for name in _names(gallery):
        scores = pair_scores(probes[name[0]], gallery[name[-1]], pairs.left, pairs.right)
        samples = pair_samples(scores, pairs, judged.subjects, judged.weights)
        cells[name] = PairCell(
            figure(samples["accuracy"]) if "accuracy" in samples else None,
            {f"{far:g}": _at_threshold(samples, "tar", far) for far in fars_told(pairs)},
            pair_curves(scores, pairs) if pixels is None else None,
        )
    genuine = int(pairs.same.sum())
    return PairResult(judged.protocol.name, pairs.name, pixels, genuine, len(pairs.same) - genuine, cells)


def judge_search(judged: Judgement, search: Search, probes: Sides, gallery: Sides, pixels: Pixels) -> SearchResult:
    """1:N in each cell, and the student beside its teacher; probes and gallery as above."""
    subjects = judged.subjects
    parts = parts_of(search, subjects)
    found = {name: find(parts, subjects, probes[name[0]], gallery[name[-1]]) for name in _names(gallery)}
    samples = {name: search_samples(one, parts, subjects, judged.weights) for name, one in found.items()}
    edges = score_edges(list(found.values()))
    cells = {
        name: SearchCell(
            {str(k): figure(samples[name][f"rank {k}"]) for k in RANKS},
            {f"{fpir:g}": _at_threshold(samples[name], "fnir", fpir) for fpir in FPIRS if len(parts.strangers)},
            one.impostors,
            search_curves(one, edges, len(parts.names)) if pixels is None else None,
        )
        for name, one in found.items()
    }
    return SearchResult(
        judged.protocol.name,
        search.name,
        pixels,
        len(parts.names),
        len(parts.mated),
        len(parts.strangers),
        cells,
        _compare(judged, parts, found, samples) if "S" in gallery else None,
    )


def _names(sides: Sides) -> tuple[CellName, ...]:
    return tuple(name for name in _CELLS if name[0] in sides and name[-1] in sides)


def _at_threshold(samples: Samples, rate: str, at: float) -> AtThreshold:
    return AtThreshold(figure(samples[f"threshold {at:g}"]), figure(samples[f"{rate} {at:g}"]))


def _compare(
    judged: Judgement, parts: Parts, found: Mapping[CellName, Found], samples: Mapping[CellName, Samples]
) -> Comparison:
    own, across, alone = (samples[name]["rank 1"] for name in ("T→T", "S→T", "S→S"))
    deployed = {f"{f:g}": float(samples["T→T"][f"threshold {f:g}"][0]) for f in FPIRS if len(parts.strangers)}
    really = transfer_samples(found["S→T"], deployed, parts, judged.subjects, judged.weights)
    before, after = found["T→T"].impostors, found["S→T"].impostors
    flips = flip_samples(found["T→T"], found["S→T"], parts, judged.subjects, judged.weights)
    return Comparison(
        retention=figure(_ratio(across, own)),
        self_retention=figure(_ratio(alone, own)),
        gain=figure(across - alone),
        flips=figure(flips),
        transfer={
            name: Transfer(value, figure(really[f"fpir {name}"]), figure(really[f"fnir {name}"]))
            for name, value in deployed.items()
        },
        shift=Shift(after.mean - before.mean, after.deviation - before.deviation, after.quantile - before.quantile),
    )


def _ratio(upper: Rates, lower: Rates) -> Rates:
    return np.divide(upper, lower, out=np.full_like(upper, np.nan), where=lower > 0)
