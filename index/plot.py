"""A picture of how a gallery tells its people from strangers; matplotlib is imported when one is drawn, not before."""

import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from faces.files import write_whole
from index.calibrate import Calibration, Row
from index.errors import PlotUnavailable
from index.tail import ENOUGH_ALARMS, FARTHEST, Floats, Trials, continued
from index.threshold import FROM, Threshold
from index.trials import Mates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KINDS: Final[Mapping[str, Literal["png", "svg"]]] = MappingProxyType({".png": "png", ".svg": "svg"})
_GIVE_PROBES: Final = "Give --probes, photos of people whose names are known."
_SIZE: Final = (8.0, 6.5)  # inches
_DPI: Final = 150
_BINS: Final = 60
_PLACES: Final = 20 * _BINS + 1
_MARGIN: Final = 0.03  # of the width
_MATES, _STRANGERS, _INK, _GRID = "#2b83ba", "#e66101", "#1f2328", "#d0d7de"
_DASHES: Final = ("-", "--", "-.")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What is drawn."""

    title: str
    strangers: Trials
    mates: Mates
    thresholds: tuple[Threshold, ...]
    """From the highest FPIR to the lowest."""


def require_plot(path: Path) -> None:
    """Raises PlotUnavailable where `write_plot` would for this path: before anything long is begun."""
    if path.suffix.lower() not in _KINDS:
        raise PlotUnavailable("a plot cannot be written as", path.name, f"Let its name end in {' or '.join(_KINDS)}.")
    if importlib.util.find_spec("matplotlib") is None:
        raise PlotUnavailable("a plot needs a package that is not installed", "matplotlib", "pip install matplotlib")


def picture(title: str, calibration: Calibration, table: Sequence[Row]) -> Picture:
    """Raises PlotUnavailable where nothing tells how this Model scores."""
    strangers, mates = calibration.trials, calibration.mates
    if mates is None:
        raise PlotUnavailable("no scores of this model can be drawn from Templates of another", title, _GIVE_PROBES)
    if not len(strangers.scores):
        raise PlotUnavailable("no two Subjects to compare in", title, f"Enrol people. {_GIVE_PROBES}")
    found = (row.threshold for row in sorted(table, key=lambda row: -row.fpir))
    return Picture(title, strangers, mates, tuple(threshold for threshold in found if threshold is not None))


def write_plot(path: Path, pictured: Picture) -> None:
    """PNG or SVG, by the path's suffix; lands whole. Raises PlotUnavailable."""
    require_plot(path)
    data = render(pictured, _KINDS[path.suffix.lower()])
    try:
        write_whole(path, data)
    except OSError as error:
        raise PlotUnavailable(
            f"a plot cannot be written ({error.strerror})", str(path), "Check the folder and its permissions."
        ) from None


def render(pictured: Picture, kind: Literal["png", "svg"]) -> bytes:
    """Equal pictures give equal bytes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure, data = Figure(figsize=_SIZE, facecolor="white", layout="constrained"), io.BytesIO()
    figure.suptitle(pictured.title, color=_INK, fontsize=10)
    _paint(pictured, figure)
    with rc_context({"svg.hashsalt": "heirloom"}):
        figure.savefig(data, format=kind, dpi=_DPI, metadata={"Date": None} if kind == "svg" else None)
    return data.getvalue()


def _paint(pictured: Picture, figure: "Figure") -> None:
    """Histograms above, rates below, on one axis of scores."""
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.3))
    strangers, own = pictured.strangers.scores, pictured.mates.own
    places = _places(pictured)
    for axes in (upper, lower):
        _tidy(axes)
        _mark(axes, pictured.thresholds)
    _histogram(upper, strangers, places, _STRANGERS, f"strangers: {len(strangers):,} probes, their best Candidate")
    _histogram(upper, own, places, _MATES, f"enrolled: {len(own):,} probes, their own Subject")
    upper.set(ylabel="share of probes", xlim=(places[0], places[-1]))
    _legend(upper, "upper right")
    _rates(lower, pictured, places)


def _places(pictured: Picture) -> Floats:
    """Scores, from the lowest that is shown to the highest, with a margin."""
    own = pictured.mates.own
    marks = [threshold.value for threshold in pictured.thresholds]
    shown = np.concatenate([pictured.strangers.scores, own[np.isfinite(own)], marks])
    low, high = float(shown.min()), min(float(shown.max()), 1.0)
    margin = _MARGIN * (high - low) or _MARGIN
    return np.linspace(low - margin, high + margin, _PLACES)


def _tidy(axes: "Axes") -> None:
    axes.grid(visible=True, color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, which="both", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)


def _mark(axes: "Axes", thresholds: Sequence[Threshold]) -> None:
    """A line at each threshold, over its 95 % interval."""
    for threshold, dashes in zip(thresholds, cycle(_DASHES), strict=False):
        axes.axvline(threshold.value, color=_INK, linestyle=dashes, linewidth=1)
        if threshold.low is not None and threshold.high is not None:
            axes.axvspan(threshold.low, threshold.high, color=_INK, alpha=0.08, linewidth=0)


def _histogram(axes: "Axes", scores: Floats, places: Floats, colour: str, label: str) -> None:
    """Scores that nobody knows, of -inf, are in the share and in no bar."""
    if len(scores):
        counts, edges = np.histogram(scores[np.isfinite(scores)], places[:: _PLACES // _BINS])
        axes.stairs(counts / len(scores), edges, fill=True, alpha=0.45, color=colour, label=label)


def _rates(axes: "Axes", pictured: Picture, places: Floats) -> None:
    strangers, mates = pictured.strangers.scores, pictured.mates
    reached = 1 - np.searchsorted(np.sort(strangers), places, side="left") / len(strangers)
    axes.plot(places, _positive(reached), color=_STRANGERS, label="FPIR: strangers who are answered with somebody")
    if any(threshold.extrapolated for threshold in pictured.thresholds):
        falling = np.sort(strangers)[::-1]
        rates = np.geomspace(ENOUGH_ALARMS, ENOUGH_ALARMS / FARTHEST, _BINS) / len(strangers)
        beyond = [continued(falling, float(rate)) for rate in rates]
        axes.plot(beyond, rates, color=_STRANGERS, linestyle=":", label="FPIR, extrapolated")
    if len(mates.own):
        found = np.sort(np.where(mates.own > mates.others, mates.own, -np.inf))
        missed = np.searchsorted(found, places, side="left") / len(found)
        axes.plot(places, _positive(missed), color=_MATES, label="FNIR: enrolled people who are missed")
    for threshold, dashes in zip(pictured.thresholds, cycle(_DASHES), strict=False):
        axes.plot([], [], color=_INK, linestyle=dashes, linewidth=1, label=_says(threshold))
    lowest = min([1 / len(strangers), *(threshold.fpir for threshold in pictured.thresholds if threshold.fpir)])
    axes.set(xlabel="cosine", ylabel="share of probes", yscale="log", ylim=(lowest / 2, 1.5))
    _legend(axes, "lower left")


def _says(threshold: Threshold) -> str:
    how = ", extrapolated" if threshold.extrapolated else ""
    return f"FPIR {threshold.fpir:g}: {threshold.value:.4f}, from {FROM[threshold.calibrated_on]}{how}"


def _legend(axes: "Axes", place: Literal["upper right", "lower left"]) -> None:
    axes.legend(loc=place, labelcolor=_INK, fontsize=8, facecolor="white", edgecolor="none", framealpha=0.9)


def _positive(rates: Floats) -> Floats:
    """Nothing where a rate is 0: a logarithmic axis has no place for it."""
    return np.where(rates > 0, rates, np.nan)
