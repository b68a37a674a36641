"""Tables with a column for each resolution of the probe."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from kd.evaluate.figures import CellName, Figure, PairResult, Report, SearchResult
from kd.evaluate.search import FPIRS
from kd.evaluate.sheet import Row, Sheet, Shown, label, shown, which

Result = TypeVar("Result", bound=SearchResult | PairResult)

_FAR: Final = 0.01
_NOTE: Final = (
    "Pixels across the ArcFace-112 square of the probe's face: down by area, up linearly, then cropped as each model "
    "wants it. The gallery stays as it is; thresholds are chosen anew at each resolution."
)


def resolution_sheets(report: Report) -> list[Sheet]:
    """Of what was shown at other resolutions than the photos' own; tables without a figure have no rows."""
    searches, pairs = _grouped(report.searches), _grouped(report.pairs)
    fpir, far = f"{min(FPIRS):g}", f"{_FAR:g}"

    def missed(search: SearchResult, name: CellName) -> Figure | None:
        at = search.cells[name].fnir.get(fpir)
        return at.rate if at else None

    def accepted(one: PairResult, name: CellName) -> Figure | None:
        at = one.cells[name].tar.get(far)
        return at.rate if at else None

    found = [row for group in searches for row in (*_rows(group, _found, which), *_retained(group))]
    lost = [row for group in searches for row in _rows(group, missed, which)]
    right = [row for group in pairs for row in _rows(group, _accuracy, _label)]
    known = [row for group in pairs for row in _rows(group, accepted, _label)]
    return [
        _sheet("Rank-1", searches, ("protocol", "N"), found),
        _sheet(f"FNIR at FPIR {fpir}", searches, ("protocol", "N"), lost),
        _sheet("1:1 accuracy", pairs, ("protocol",), right),
        _sheet(f"TAR at FAR {far}", pairs, ("protocol",), known),
    ]


def _grouped(results: Sequence[Result]) -> list[list[Result]]:
    """Results at all resolutions of each gallery or list of pairs that was shown at several."""
    keys = dict.fromkeys(one.key for one in results if one.pixels is not None)
    return [[one for one in results if one.key == key] for key in keys]


def _rows(
    group: list[Result], figure: Callable[[Result, CellName], Figure | None], name: Callable[[Result], Row]
) -> list[Row]:
    """A row for each cell of the 2×2 that has the figure."""
    cells = [cell for cell in group[0].cells if figure(group[0], cell)]
    return [(*name(group[0]), Shown(cell), *(shown(figure(one, cell)) for one in group)) for cell in cells]


def _retained(group: list[SearchResult]) -> list[Row]:
    figures = [one.comparison.retention for one in group if one.comparison]
    return [(*which(group[0]), Shown("S→T / T→T"), *map(shown, figures))] if figures else []


def _found(search: SearchResult, name: CellName) -> Figure | None:
    return search.cells[name].rank["1"]


def _accuracy(pairs: PairResult, name: CellName) -> Figure | None:
    return pairs.cells[name].accuracy


def _label(pairs: PairResult) -> Row:
    return (Shown(label(pairs)),)


def _sheet(title: str, groups: list[list[Result]], head: tuple[str, ...], rows: list[Row]) -> Sheet:
    columns = [_pixels(one.pixels) for one in groups[0]] if groups else []
    return Sheet(f"{title} by resolution of the probe", (*head, "probe → gallery", *columns), tuple(rows), _NOTE)


def _pixels(pixels: int | None) -> str:
    return "as it is" if pixels is None else f"{pixels} px"
