"""The standings as files: a table in Markdown, everything in JSON, one plot."""

from functools import partial
from pathlib import Path
from typing import Final

from pydantic_core import to_json

from faces.files import write_whole
from faces.space import Cell
from kd.compare.plan import Plan
from kd.compare.plot import as_png
from kd.compare.standings import Row, Standings, findings
from kd.evaluate.figures import CellName
from kd.evaluate.search import FPIRS

NAME: Final = "comparison"
_SHOWN: Final[tuple[CellName, ...]] = ("S→T", "S→S")


def write_report(plan: Plan, standings: Standings, folder: Path, *, teacher_seconds: float) -> None:
    """Write comparison.md and comparison.json; older ones are replaced.

    teacher_seconds: what the teacher takes for 1,000 faces.
    """
    write_whole(folder / f"{NAME}.json", as_json(plan, standings, teacher_seconds))
    write_whole(folder / f"{NAME}.md", as_markdown(plan, standings, teacher_seconds).encode())


def write_plot(standings: Standings, folder: Path) -> None:
    """Write comparison.png, once there is something to draw. Takes seconds."""
    if standings.teacher:
        write_whole(folder / f"{NAME}.png", as_png(standings))


def as_json(plan: Plan, standings: Standings, teacher_seconds: float) -> bytes:
    """Every figure of every run; what was not measured is null."""
    return to_json(
        {
            "base": plan.base.to_dict(),
            "seeds": plan.seeds,
            "teacher": standings.teacher,
            "teacher_seconds": teacher_seconds,
            "rows": [
                {"label": row.rival.label, "recipe": row.rival.recipe, "outcomes": row.outcomes}
                for row in standings.rows
            ],
            "findings": findings(standings),
        },
        indent=2,
        inf_nan_mode="null",
    )


def as_markdown(plan: Plan, standings: Standings, teacher_seconds: float) -> str:
    """What was compared, the table, and what it says."""
    parts = [_conditions(plan, standings, teacher_seconds), _table(standings)]
    return "\n\n".join([*parts, *findings(standings)]) + "\n"


def _conditions(plan: Plan, standings: Standings, teacher_seconds: float) -> str:
    student, shown = plan.base.student, plan.base.viewing
    views = [outcome.views for row in standings.rows for outcome in row.done]
    budget = f"{min(views):,}" + (f" to {max(views):,}" if min(views) < max(views) else "") if views else "no"
    runs = sum(len(row.done) for row in standings.rows)
    return (
        f"Student: {student.backbone}, width {student.width:g}, {student.side} pixels; {budget} views a run, "
        f"{shown.views} different ones of a photo. {runs} of {len(plan.runs())} runs are done, seeds "
        f"{', '.join(map(str, plan.seeds))}: mean ± standard deviation over them. Retention is rank-1 divided by "
        "T→T's. Seconds are of training on 1,000 views without waiting for data, beside whatever else the machine did; "
        f"the teacher took {teacher_seconds:.2f} s for 1,000 views, once for each that a method asks it about."
    )


def _table(standings: Standings) -> str:
    head = ["method", "recipe", "probe → gallery", "pairs"]
    for cell in standings.teacher.values():
        rates = ["rank-1", *(f"FNIR at FPIR {fpir:g}" for fpir in FPIRS), "retention"]
        head += [f"N = {cell.subjects:,}: {rate}" for rate in rates]
    head += ["s / 1,000 views", "runs"]
    rows = [_teacher_row(standings)] if standings.teacher else []
    rows += [cells for row in standings.rows for cells in _rows(row, list(standings.teacher))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def _teacher_row(standings: Standings) -> list[str]:
    cells = list(standings.teacher.values())
    shown = ["the teacher itself", "", "T→T", _number(cells[0].pairs)]
    for cell in cells:
        shown += [_number(cell.rank1), *(_number(_fnir(cell, fpir)) for fpir in FPIRS), "1.000"]
    return [*shown, "", ""]


def _rows(row: Row, searches: list[str]) -> list[list[str]]:
    name, recipe = row.rival.label, f"`{row.rival.recipe}`"
    failures = [f"seed {seed} failed: {reason}" for seed, reason in row.failed.items()]
    runs = "; ".join([str(len(row.done)), *failures])
    if not row.done:
        return [[name, recipe, "–", "–", *["–"] * (2 + len(FPIRS)) * len(searches), "–", runs]]
    rows = []
    for cell in _SHOWN:
        shown = [name, recipe, cell, str(row.figure(searches[0], cell, lambda one: one.pairs))]
        for search in searches:
            rates = [row.figure(search, cell, partial(_fnir, fpir=fpir)) for fpir in FPIRS]
            shown += map(str, [row.rank1(search, cell), *rates, row.retention(search, cell)])
        rows.append([*shown, f"{row.seconds.mean:.2f}", runs])
    return rows


def _fnir(cell: Cell, fpir: float) -> float | None:
    """None in a closed set."""
    return cell.fnir.get(f"{fpir:g}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
