"""Outcomes that nobody had to train for."""

from faces.space import Cell
from kd.compare.outcome import Outcome
from kd.compare.plan import Rival
from kd.compare.standings import Row

SEARCH = "faces-370"


def cell(rank1, *, fnir=0.5):
    return Cell(subjects=370, mated=800, non_mated=600, rank1=rank1, fnir={"0.1": fnir}, thresholds={}, pairs=0.9)


def outcome(across, alone=0.3, *, failed=None):
    """S→T and S→S rank-1 of one run."""
    if failed is not None:
        return Outcome({}, {}, views=0, seconds=0.0, failed=failed)
    grid = {"T→T": cell(0.8, fnir=0.1), "S→T": cell(across), "S→S": cell(alone), "T→S": cell(0.2)}
    return Outcome({}, {SEARCH: grid}, views=1000, seconds=2.0)


def row(label, method, *across):
    return Row(Rival(label, method), {seed: outcome(value) for seed, value in enumerate(across)})
