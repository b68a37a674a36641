"""Pictures that follow the reader's choice of light or dark."""

import re
from functools import partial

from kd.evaluate.drawing import Labels, draw_lines, themed
from kd.evaluate.plots import Plot

LINES = {"T→T": ((0.01, 0.1, 1), (0.2, 0.1, 0.0)), "S→T": ((0.01, 0.1, 1), (0.3, 0.2, 0.1))}


def plot(**options):
    paint = partial(draw_lines, LINES, labels=Labels("x", "y"), **options)
    return Plot("key", "title", "what it shows", paint)


def test_what_is_not_data_is_named_once_and_set_for_both():
    svg = themed(b'<svg><path style="stroke: #1f2328"/><path style="stroke: #e66101"/></svg>').decode()
    light, dark = re.findall(r"--c0:(#\w+);", svg)
    assert (light, dark) == ("#1f2328", "#e6edf3")
    assert "stroke: var(--c0)" in svg
    assert "stroke: #e66101" in svg  # data keeps its colour


def test_equal_figures_give_equal_pictures():
    png, svg = plot().render()
    assert plot().render() == (png, svg)
    assert png.startswith(b"\x89PNG")
    assert b"prefers-color-scheme:dark" in svg


def test_a_rate_of_zero_can_be_drawn_on_a_logarithmic_scale():
    assert plot(both_logarithmic=True).render()
