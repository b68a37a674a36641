"""Thresholds are kept with the gallery, and measured anew when they no longer stand for it."""

from dataclasses import replace

import pytest

from index.calibrate import FPIRS, Calibration, calibrate, current_threshold, current_thresholds, is_stale
from index.errors import GalleryUnavailable, NotCalibrated
from index.gallery import Enrolment, LocalGallery, open_gallery
from index.tail import estimate, rate_at
from index.threshold import Threshold
from index.trials import gallery_trials
from tests.index.fakes import SPACE, TEACHER_ID, card, random_rows, templates
from tests.index.test_calibrate import STUDENT_ID, cell, now, student

PROBED = Threshold(0.7, 0.1, 100, STUDENT_ID, "probes", "2025-01-01", 0.6, 0.8, 50)


def grow(gallery: LocalGallery, subjects: int) -> None:
    """To so many in all, one Template each."""
    rows, have = random_rows(1_000, seed=3), gallery.stats().subjects
    people = [Enrolment(f"s{n}", templates(rows[n])) for n in range(have, subjects)]
    gallery.enrol_all(people, space=SPACE)


def test_what_was_measured_is_kept_by_the_file(gallery, path):
    grow(gallery, 40)
    first = current_threshold(gallery, card(), 0.1, clock=now)
    assert first == calibrate(gallery, card(), 0.1, clock=now)
    with open_gallery(path) as again:
        assert again.thresholds(TEACHER_ID) == [first]
        assert again.thresholds(STUDENT_ID) == []


def test_it_is_given_again_until_the_gallery_has_grown_by_half(gallery):
    grow(gallery, 40)
    first = current_threshold(gallery, card(), 0.1)
    grow(gallery, 59)
    assert current_threshold(gallery, card(), 0.1) == first
    grow(gallery, 60)
    anew = current_threshold(gallery, card(), 0.1)
    assert (first.subjects, anew.subjects) == (40, 60)
    assert gallery.thresholds(TEACHER_ID) == [anew]


@pytest.mark.parametrize(("subjects", "stale"), [(149, False), (150, True), (67, False), (66, True), (0, True)])
def test_half_as_many_again_is_stale_and_so_is_the_way_back(subjects, stale):
    assert is_stale(replace(PROBED, subjects=100), subjects) is stale


def test_another_model_has_thresholds_of_its_own(gallery):
    grow(gallery, 40)
    current_threshold(gallery, card(), 0.1)
    measured = {"p": {"T→T": cell(370, at_0_1=0.93), "S→T": cell(370, at_0_1=0.8)}}
    assert current_threshold(gallery, student(measured), 0.1).model_id == STUDENT_ID


def test_each_fpir_has_its_own_or_a_reason(gallery):
    grow(gallery, 300)
    rows = current_thresholds(gallery, card())
    assert [row.fpir for row in rows] == list(FPIRS)
    assert [row.threshold is None for row in rows] == [False, False, True]
    assert "at least 500 Subjects" in rows[2].reason
    assert gallery.thresholds(TEACHER_ID) == [rows[0].threshold, rows[1].threshold]
    with pytest.raises(NotCalibrated, match="at least 500 Subjects"):
        current_threshold(gallery, card(), 0.001)


def test_what_the_card_says_is_read_from_the_card_each_time(gallery):
    grow(gallery, 3)
    assert current_threshold(gallery, card({"p": {"T→T": cell(370, at_0_01=0.9)}}), 0.01).value == 0.9
    assert gallery.thresholds(TEACHER_ID) == []
    assert current_threshold(gallery, card({"p": {"T→T": cell(370, at_0_01=0.8)}}), 0.01).value == 0.8


def test_a_gallery_that_cannot_be_written_to_still_has_a_threshold(gallery, monkeypatch):
    grow(gallery, 40)

    def refuse(_: object) -> None:
        raise GalleryUnavailable("cannot be written", "people.heirloom", "Check its permissions.")

    monkeypatch.setattr(gallery, "put_thresholds", refuse)
    assert current_threshold(gallery, card(), 0.1) == calibrate(gallery, card(), 0.1)


def test_what_probes_gave_is_moved_to_the_new_n_by_the_gallerys_own_trials(gallery):
    grow(gallery, 200)
    gallery.put_thresholds([PROBED])
    moved = current_threshold(gallery, student(), 0.1, clock=now)
    trials = gallery_trials(gallery)
    way = estimate(trials, 0.1).value - estimate(trials, rate_at(0.1, 1 / 2)).value
    assert way > 0
    assert moved.value == pytest.approx(0.7 + way)
    assert (moved.low, moved.high) == (pytest.approx(0.6 + way), pytest.approx(0.8 + way))
    assert (moved.subjects, moved.calibrated_on, moved.extrapolated) == (200, "probes", True)
    assert moved.date == "2026-01-02"
    assert gallery.thresholds(STUDENT_ID) == [PROBED]


def test_where_the_gallery_cannot_tell_how_far_what_probes_gave_stays_with_a_reason_to_doubt_it(gallery):
    grow(gallery, 20)
    gallery.put_thresholds([replace(PROBED, subjects=10)])
    (row,) = current_thresholds(gallery, student(), [0.1])
    assert row.threshold == replace(PROBED, subjects=10)
    assert row.reason == "measured at 10 Subjects, now 20: give --probes again"


def test_beyond_ten_times_the_subjects_what_probes_gave_is_not_stretched(gallery):
    grow(gallery, 200)
    gallery.put_thresholds([replace(PROBED, subjects=19)])
    with pytest.raises(NotCalibrated):
        current_threshold(gallery, student(), 0.1)
    gallery.put_thresholds([replace(PROBED, subjects=20)])
    assert current_threshold(gallery, student(), 0.1).calibrated_on == "probes"


def test_moving_a_threshold_to_where_it_is_changes_nothing(gallery):
    grow(gallery, 200)
    moved = Calibration(gallery, student()).moved(replace(PROBED, subjects=200), 0.1)
    assert moved.value == PROBED.value
