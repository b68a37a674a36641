"""The picture of a calibration: drawn from what was measured, or refused in words."""

import re
from pathlib import Path

import numpy as np
import pytest

from index.calibrate import Calibration
from index.errors import PlotUnavailable
from index.gallery import Enrolment, LocalGallery
from index.plot import Picture, picture, render, write_plot
from index.tail import Trials
from index.threshold import Threshold
from index.trials import Mates
from tests.index.fakes import EAST, SPACE, TEACHER_ID, card, random_rows, templates
from tests.index.test_calibrate import student

pytest.importorskip("matplotlib", reason="matplotlib is in the extra plot")


def pictured(strangers: int = 600, thresholds: tuple[Threshold, ...] = (), mates: int = 50) -> Picture:
    chance = np.random.default_rng(1)
    scores = chance.normal(0.2, 0.05, strangers)
    own = np.append(chance.normal(0.6, 0.1, mates), [-np.inf] * (mates > 0))
    return Picture("dlib", Trials(scores, np.arange(strangers), strangers), Mates(own, own - 0.1), thresholds)


def texts(drawn: Picture) -> str:
    """What is written in the picture: matplotlib notes each text beside the outlines of its letters."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", render(drawn, "svg").decode()))


def test_the_picture_names_its_parts_and_each_threshold():
    counted = Threshold(0.33, 0.01, 600, TEACHER_ID, "gallery", "", 0.31, 0.35, 600)
    beyond = Threshold(0.37, 0.001, 600, TEACHER_ID, "probes", "", 0.35, 0.4, 600, extrapolated=True)
    drawn = texts(pictured(thresholds=(counted, beyond)))
    assert "strangers: 600 probes" in drawn
    assert "enrolled: 51 probes" in drawn
    assert "FPIR 0.01: 0.3300, from this gallery\n" in drawn
    assert "FPIR 0.001: 0.3700, from your probes, extrapolated" in drawn
    assert "FPIR, extrapolated" in drawn


def test_without_an_extrapolated_threshold_the_tail_is_not_continued():
    assert "FPIR, extrapolated" not in texts(pictured())


@pytest.mark.parametrize("drawn", [pictured(2), pictured(40, mates=0)], ids=["two strangers", "no mates"])
def test_little_is_drawn_as_well(drawn):
    assert "strangers who are answered with somebody" in texts(drawn)


def test_equal_scores_are_a_picture_too():
    alike = Trials(np.full(600, 0.5), np.arange(600), 600)
    assert texts(Picture("dlib", alike, Mates(np.full(3, 0.5), np.full(3, 0.5)), ()))


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_equal_figures_give_equal_bytes(kind):
    assert render(pictured(), kind) == render(pictured(), kind)


def test_a_gallery_without_two_subjects_has_nothing_to_draw(gallery):
    gallery.enrol("ada", templates(EAST), space=SPACE)
    with pytest.raises(PlotUnavailable, match="no two Subjects to compare"):
        picture("dlib", Calibration(gallery, card()), [])


def test_a_students_scores_are_not_drawn_from_its_teachers_templates(gallery: LocalGallery):
    rows = random_rows(40)
    gallery.enrol_all([Enrolment(f"s{n}", templates(row)) for n, row in enumerate(rows)], space=SPACE)
    with pytest.raises(PlotUnavailable, match=r"Templates of another.*Give --probes"):
        picture("small", Calibration(gallery, student()), [])


def test_a_folder_that_is_not_there_is_an_error_that_names_it(tmp_path: Path):
    with pytest.raises(PlotUnavailable, match=r"cannot be written \(No such file or directory\).*nowhere"):
        write_plot(tmp_path / "nowhere" / "plot.png", pictured())
