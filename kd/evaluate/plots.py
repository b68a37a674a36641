"""The plots of a report, made of its figures alone; matplotlib is imported when one is rendered, not before."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from kd.evaluate.drawing import PAPER, Labels, draw_cmc, draw_lines, draw_resolutions, draw_scores, themed
from kd.evaluate.figures import CellName, PairResult, Report, SearchResult
from kd.evaluate.sheet import label

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_SIZE: Final = (6.0, 4.2)  # inches
_DPI: Final = 150


@dataclass(frozen=True, slots=True)
class Plot:
    key: str
    """A file name without suffix."""
    title: str
    says: str
    """What it shows, for those who do not see it."""
    paint: "Callable[[Drawing], None]"

    def render(self) -> tuple[bytes, bytes]:
        """The picture as PNG, light, and as SVG for both light and dark; equal figures give equal bytes."""
        from matplotlib import rc_context
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=_SIZE, facecolor=PAPER)
        drawing.subplots_adjust(left=0.12, right=0.98, bottom=0.12, top=0.97, hspace=0.32)
        self.paint(drawing)
        png, svg = io.BytesIO(), io.BytesIO()
        drawing.savefig(png, format="png", dpi=_DPI)
        with rc_context({"svg.hashsalt": self.key}):
            drawing.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
        return png.getvalue(), themed(svg.getvalue())


def plots(report: Report) -> list[Plot]:
    """Of every search and every list of pairs, and of the resolutions."""
    made = [plot for search in report.whole_searches for plot in _search_plots(search)]
    made += [plot for pairs in report.whole_pairs for plot in _pair_plots(pairs)]
    keys = dict.fromkeys(search.key for search in report.searches if search.pixels is not None)
    return made + [_resolution_plot([one for one in report.searches if one.key == key]) for key in keys]


def _search_plots(search: SearchResult) -> list[Plot]:
    title = f"{label(search)}, N = {search.subjects:,}"
    curves = {name: cell.curves for name, cell in search.cells.items() if cell.curves}
    ranks = ", ".join(f"{name} {cell.rank['1'].value:.3f} at rank 1" for name, cell in search.cells.items())
    made = [
        Plot(
            f"{search.key}-cmc",
            f"{title}: found among the k best",
            f"Cumulative match: {ranks}.",
            partial(draw_cmc, search),
        ),
        Plot(f"{search.key}-scores", f"{title}: scores", _scores_say(search), partial(draw_scores, search)),
    ]
    if search.non_mated:
        lines = {name: (curve.fpir, curve.fnir) for name, curve in curves.items()}
        says = "; ".join(
            f"{name} misses {at.rate.value:.3f} at FPIR {fpir}"
            for name, cell in search.cells.items()
            for fpir, at in cell.fnir.items()
        )
        paint = partial(draw_lines, lines, labels=Labels("FPIR: strangers answered", "FNIR: mates missed"))
        made.insert(1, Plot(f"{search.key}-fnir", f"{title}: missed, over false alarms", f"Open set: {says}.", paint))
    return made


def _scores_say(search: SearchResult) -> str:
    said = "; ".join(f"impostors of {name} have mean {c.impostors.mean:.3f}" for name, c in search.cells.items())
    return f"Histograms of mated and non-mated scores: {said}."


def _pair_plots(pairs: PairResult) -> list[Plot]:
    title = f"{label(pairs)}, 1:1"
    curves = {name: cell.curves for name, cell in pairs.cells.items() if cell.curves}
    roc = {name: (curve.far, curve.tar) for name, curve in curves.items()}
    det = {name: (curve.far, [1 - tar for tar in curve.tar]) for name, curve in curves.items()}
    says = "; ".join(
        f"{name} accepts {at.rate.value:.3f} at FAR {far}"
        for name, cell in pairs.cells.items()
        for far, at in cell.tar.items()
    )
    far = "FAR: impostor pairs accepted"
    return [
        Plot(
            f"{pairs.key}-roc",
            f"{title}: ROC",
            f"ROC: {says}.",
            partial(draw_lines, roc, labels=Labels(far, "TAR: genuine pairs accepted")),
        ),
        Plot(
            f"{pairs.key}-det",
            f"{title}: DET",
            f"DET: {says}.",
            partial(draw_lines, det, labels=Labels(far, "FRR: genuine pairs refused"), both_logarithmic=True),
        ),
    ]


def _resolution_plot(results: Sequence[SearchResult]) -> Plot:
    shown = [one for one in results if one.pixels is not None]
    title = f"{label(shown[0])}, N = {shown[0].subjects:,}: rank-1 by resolution of the probe"
    says = "; ".join(
        f"S→T {_rank1(one, 'S→T' if 'S→T' in one.cells else 'T→T'):.3f} at {one.pixels} pixels" for one in shown
    )
    return Plot(f"{shown[0].key}-resolution", title, f"{says}.", partial(draw_resolutions, shown))


def _rank1(search: SearchResult, name: CellName) -> float:
    return search.cells[name].rank["1"].value
