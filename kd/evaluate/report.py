"""A student on its teacher's protocol: the 2×2, for people and for the card."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from rich.table import Table

from faces.detect import Detector
from faces.embed import ModelEmbedder
from faces.errors import CardInvalid
from faces.files import write_whole
from faces.models import Model
from faces.space import Cell, Grid, read_card
from kd.evaluate.grid import FPIRS, cells
from kd.evaluate.photos import embed_photos
from kd.evaluate.protocol import Protocol

CellName = Literal["T→T", "S→T", "S→S", "T→S"]
_STUDENT_CELLS: Final[tuple[CellName, ...]] = ("T→T", "S→T", "S→S", "T→S")


def evaluate(
    protocol: Protocol, photos: Path, detector: Detector, teacher: ModelEmbedder, student: ModelEmbedder | None
) -> dict[int, Grid]:
    """N enrolled Subjects -> the 2×2; T→T alone without a student. Raises SpaceMismatch before any photo is read."""
    if student is not None:
        teacher.space.require_same(student.space, "Give the teacher that the student was distilled from.")
    embedders = [teacher] if student is None else [teacher, student]
    rows = dict(zip("TS", embed_photos(photos, protocol.photos(), detector, embedders), strict=False))
    grids: dict[int, Grid] = {}
    for name in _STUDENT_CELLS[:1] if student is None else _STUDENT_CELLS:
        probe, gallery = name[0], name[-1]
        for subjects, cell in cells(protocol, rows[probe], rows[gallery]).items():
            grids.setdefault(subjects, {})[name] = cell
    return grids


def write_measured(model: Model, label: str, grids: Mapping[int, Grid]) -> None:
    """Put the grids into the Model's card under `label-N`; other protocols' stay. Raises CardInvalid."""
    if model.card_file is None:
        raise CardInvalid("no card to write into", str(model.onnx), "Put a card.json beside model.onnx first.")
    card = read_card(model.card_file)
    measured = {**card.measured, **{f"{label}-{subjects}": grid for subjects, grid in grids.items()}}
    write_whole(model.card_file, replace(card, measured=measured).to_json().encode())


def as_table(grids: Mapping[int, Grid]) -> Table:
    """One row a cell and gallery size."""
    table = Table("probe→gallery", "N", "pairs", "rank-1", *(f"FNIR @ FPIR {fpir:g}" for fpir in FPIRS), "retention")
    for subjects, grid in grids.items():
        for name, cell in grid.items():
            table.add_row(name, str(subjects), *_figures(cell), f"{cell.rank1 / grid['T→T'].rank1:.3f}")
    return table


def _figures(cell: Cell) -> list[str]:
    pairs = "–" if cell.pairs is None else f"{cell.pairs:.3f}"
    return [pairs, f"{cell.rank1:.3f}", *(f"{cell.fnir[f'{fpir:g}']:.3f}" for fpir in FPIRS)]
