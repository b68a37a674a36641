"""The standings as a picture: how well each method's student searches the teacher's gallery, and its own."""

import io
from typing import TYPE_CHECKING, Final

from faces.space import Cell
from kd.compare.standings import Row, Standings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANEL: Final = 5.0  # inches
_LEGEND: Final = 2.6
_DPI: Final = 150
_MARKS: Final = "os^vDP*X<>dph8"


def as_png(standings: Standings) -> bytes:
    """S→T over S→S rank-1, mean and standard deviation, a panel for each search; T→T is a line. Takes seconds."""
    from matplotlib.figure import Figure

    searches = standings.teacher
    drawing = Figure(figsize=(_PANEL * len(searches) + _LEGEND, _PANEL), layout="constrained")
    for number, (search, teacher) in enumerate(searches.items()):
        axes = drawing.add_subplot(1, len(searches), number + 1)
        _frame(axes, teacher)
        for place, row in enumerate(row for row in standings.rows if row.done):
            _point(axes, row, search, place, label=row.rival.label if number == 0 else None)
    drawing.legend(loc="outside right upper", frameon=False, fontsize=8)
    file = io.BytesIO()
    drawing.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()


def _point(axes: "Axes", row: Row, search: str, place: int, *, label: str | None) -> None:
    across, alone = row.rank1(search), row.rank1(search, "S→S")
    spread = None if len(row.done) < 2 else (alone.deviation, across.deviation)
    xerr, yerr = spread or (None, None)
    mark, colour = _MARKS[place % len(_MARKS)], f"C{place % 10}"
    axes.errorbar(alone.mean, across.mean, xerr=xerr, yerr=yerr, fmt=mark, color=colour, capsize=2, label=label)


def _frame(axes: "Axes", teacher: Cell) -> None:
    """T→T as a line, and the line on which the teacher's gallery is worth as much as one's own."""
    axes.grid(visible=True, color="0.9")
    axes.axline((0, 0), slope=1, color="0.7", linestyle="--", linewidth=1)
    axes.axhline(teacher.rank1, color="black", linewidth=1)
    axes.annotate("T→T", (0.01, teacher.rank1), xycoords=("axes fraction", "data"), va="bottom")
    axes.set(xlabel="S→S rank-1", ylabel="S→T rank-1", title=f"N = {teacher.subjects:,}", ylim=(0, 1.05))
