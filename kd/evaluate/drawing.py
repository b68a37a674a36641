"""How a plot is painted: on matplotlib's objects, without its global state."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kd.evaluate.figures import CellName, SearchResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_CELLS: Final[Mapping[CellName, tuple[str, str]]] = MappingProxyType(
    {"T→T": ("#2b83ba", "-"), "S→T": ("#e66101", "-"), "S→S": ("#1b9e77", "--"), "T→S": ("#b45fc0", ":")}
)
"""Colour and dashes, for those who cannot tell colours apart."""
_MATES, _STRANGERS = "#2b83ba", "#e66101"
_SHARES: Final = (-0.02, 1.02)

PAPER: Final = "#ffffff"
_INK, _GRID = "#1f2328", "#d0d7de"
_DARK: Final = MappingProxyType({_INK: "#e6edf3", _GRID: "#3d444d"})
"""What is not data, by its colour on white -> on black. Data is in colours that show on both."""


@dataclass(frozen=True, slots=True)
class Labels:
    x: str
    y: str


def _axes(drawing: "Drawing", rows: int = 1) -> "list[Axes]":
    """Axes below each other."""
    several = [drawing.add_subplot(rows, 1, row + 1) for row in range(rows)]
    for axes in several:
        axes.set_facecolor("none")
        axes.grid(visible=True, color=_GRID, linewidth=0.6)
        axes.tick_params(colors=_INK, which="both", labelsize=9)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(_INK)
        axes.xaxis.label.set_color(_INK)
        axes.yaxis.label.set_color(_INK)
    return several


def _legend(axes: "Axes") -> None:
    axes.legend(frameon=False, labelcolor=_INK, fontsize=9)


def draw_lines(
    lines: Mapping[CellName, tuple[Sequence[float], Sequence[float]]],
    drawing: "Drawing",
    *,
    labels: Labels,
    both_logarithmic: bool = False,
) -> None:
    """Steps: a rate holds until one more impostor is let in."""
    (axes,) = _axes(drawing)
    for name, (x, y) in lines.items():
        colour, dashes = _CELLS[name]
        axes.plot(x, y, color=colour, linestyle=dashes, label=name, drawstyle="steps-post")
    axes.set(xlabel=labels.x, ylabel=labels.y, xscale="log")
    if both_logarithmic:
        axes.set_yscale("log", nonpositive="clip")
    else:
        axes.set_ylim(*_SHARES)
    _legend(axes)


def draw_cmc(search: SearchResult, drawing: "Drawing") -> None:
    """The share found over k: cumulative match."""
    (axes,) = _axes(drawing)
    for name, cell in search.cells.items():
        colour, dashes = _CELLS[name]
        if cell.curves:
            ranks = range(1, len(cell.curves.ranks) + 1)
            axes.plot(ranks, cell.curves.ranks, color=colour, linestyle=dashes, marker=".", label=name)
            axes.set_xticks([rank for rank in ranks if rank == 1 or rank % 5 == 0])
    axes.set(xlabel="k", ylabel="mated probes found among the k best", ylim=_SHARES)
    _legend(axes)


def draw_scores(search: SearchResult, drawing: "Drawing") -> None:
    """T→T over S→T, with the teacher's threshold in both: what happens when it is left as it is."""
    shown: list[CellName] = [name for name in search.cells if name in ("T→T", "S→T")]
    for axes, name in zip(_axes(drawing, rows=len(shown)), shown, strict=True):
        if curves := search.cells[name].curves:
            _histogram(axes, curves.mates, curves.edges, _MATES, "mates")
            _histogram(axes, curves.strangers, curves.edges, _STRANGERS, "best of a non-mated probe")
            axes.set_xlim(curves.edges[0], curves.edges[-1])
        for label, threshold, dashes in _thresholds(search, name):
            axes.axvline(threshold, color=_INK, linestyle=dashes, linewidth=1, label=label)
        axes.set(xlabel=f"cosine, {name}", ylabel="share of probes")
        _legend(axes)


def _histogram(axes: "Axes", counts: Sequence[int], edges: Sequence[float], colour: str, label: str) -> None:
    if total := sum(counts):
        axes.stairs([count / total for count in counts], edges, fill=True, alpha=0.45, color=colour, label=label)


def _thresholds(search: SearchResult, name: CellName) -> Iterator[tuple[str, float, str]]:
    """(label, cosine, dashes) of the teacher's at the lowest FPIR, and of the cell's own; none in a closed set."""
    for fpir in sorted(search.cells[name].fnir, key=float)[:1]:
        yield f"T's threshold, FPIR {fpir}", search.cells["T→T"].fnir[fpir].threshold.value, "-"
        if name != "T→T":
            yield "its own", search.cells[name].fnir[fpir].threshold.value, "--"


def draw_resolutions(results: Sequence[SearchResult], drawing: "Drawing") -> None:
    """Rank-1 with its intervals, a place for each resolution."""
    (axes,) = _axes(drawing)
    places = range(len(results))
    for number, name in enumerate(results[0].cells):
        colour, dashes = _CELLS[name]
        figures = [one.cells[name].rank["1"] for one in results]
        values = [figure.value for figure in figures]
        spread = [[f.value - f.low for f in figures], [f.high - f.value for f in figures]]
        x = [place + 0.04 * (number - 1.5) for place in places]
        axes.errorbar(x, values, yerr=spread, color=colour, linestyle=dashes, marker=".", capsize=2, label=name)
    axes.set_xticks(list(places), [f"{one.pixels} px" for one in results])
    axes.set(xlabel="across the probe's face (ArcFace-112 square)", ylabel="rank-1", ylim=_SHARES)
    _legend(axes)


def themed(svg: bytes) -> bytes:
    """A picture that follows the reader's choice of light or dark by itself."""
    names = {colour: f"--c{number}" for number, colour in enumerate(_DARK)}
    light = "".join(f"{name}:{colour};" for colour, name in names.items())
    dark = "".join(f"{name}:{_DARK[colour]};" for colour, name in names.items())
    for colour, name in names.items():
        svg = svg.replace(colour.encode(), f"var({name})".encode())
    style = f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style></svg>"
    return svg.replace(b"</svg>", style.encode())
