"""A threshold says what it stands for, and none is made up."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from faces.space import Cell, Grid, ModelCard
from index.calibrate import Calibration, calibrate, chosen
from index.errors import NotCalibrated
from index.gallery import Enrolment, LocalGallery
from index.tail import shown
from index.threshold import Threshold
from index.trials import Probes, gallery_trials
from tests.index.fakes import SPACE, TEACHER_ID, as_stored, card, random_rows, templates

STUDENT_ID = "fedcba9876543210"


def now() -> datetime:
    return datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def student(measured: dict[str, Grid] | None = None) -> ModelCard:
    return replace(card(measured), role="student", model_id=STUDENT_ID)


def cell(subjects: int, **thresholds: float) -> Cell:
    named = {key.replace("at_", "").replace("_", "."): value for key, value in thresholds.items()}
    return Cell(subjects=subjects, mated=9, non_mated=9, rank1=0.9, fnir={}, thresholds=named)


def fill(gallery: LocalGallery, subjects: int, model_id: str = TEACHER_ID) -> None:
    """Enrol so many Subjects with two Templates each."""
    rows = random_rows(2 * subjects, seed=11)
    gallery.enrol_all(
        [Enrolment(f"s{n}", templates(*rows[2 * n : 2 * n + 2], model_id=model_id)) for n in range(subjects)],
        space=SPACE,
    )


def false_alarms(subjects: int, threshold: float) -> int:
    """By brute force: how many Subjects' first Template reaches the threshold with a Template of anybody else."""
    rows = np.stack([as_stored(row) for row in random_rows(2 * subjects, seed=11)]).astype(np.float64)
    scores = rows[::2] @ rows.T
    for n in range(subjects):
        scores[n, 2 * n : 2 * n + 2] = -1
    return int((scores.max(axis=1) >= threshold).sum())


def test_a_large_gallery_gives_the_lowest_threshold_that_few_enough_of_its_own_subjects_reach(gallery):
    fill(gallery, 300)
    found = calibrate(gallery, card(), 0.1, clock=now)
    assert (found.fpir, found.subjects, found.model_id) == (0.1, 300, TEACHER_ID)
    assert (found.calibrated_on, found.date) == ("gallery", "2026-01-02")
    assert false_alarms(300, found.value + 1e-6) <= 30 < false_alarms(300, found.value - 1e-6)


def test_three_expected_false_alarms_are_enough_and_fewer_are_not(gallery):
    fill(gallery, 300)
    assert calibrate(gallery, card(), 0.01).calibrated_on == "gallery"
    gallery.forget("s7")
    with pytest.raises(NotCalibrated, match=r"299 Subjects are too few.*at least 300 Subjects"):
        calibrate(gallery, card(), 0.01)


def test_a_small_gallery_takes_the_cards_threshold_with_its_n_and_date(gallery):
    fill(gallery, 3)
    measured = {"lfw-370": {"T→T": cell(370, at_0_1=0.91, at_0_01=0.93)}}
    assert calibrate(gallery, card(measured), 0.01) == Threshold(0.93, 0.01, 370, TEACHER_ID, "card", "2025-12-24")
    assert calibrate(gallery, card(measured), 0.1).value == 0.91


def test_of_several_protocols_the_nearest_n_counts(gallery):
    fill(gallery, 20)
    measured = {
        "small": {"T→T": cell(10, at_0_01=0.1)},
        "large": {"T→T": cell(1000, at_0_01=0.3)},
        "without this FPIR": {"T→T": cell(20, at_0_1=0.2)},
    }
    assert calibrate(gallery, card(measured), 0.01).value == 0.1


def test_an_empty_gallery_takes_the_cards_threshold(gallery):
    assert calibrate(gallery, card({"p": {"T→T": cell(370, at_0_01=0.9)}})).subjects == 370


def test_a_student_in_a_small_gallery_takes_its_own_cell(gallery):
    fill(gallery, 3)
    measured = {"p": {"T→T": cell(370, at_0_01=0.93), "S→T": cell(370, at_0_01=0.8)}}
    found = calibrate(gallery, student(measured), 0.01)
    assert (found.value, found.model_id) == (0.8, STUDENT_ID)


def test_a_students_threshold_is_the_gallerys_moved_by_what_its_card_measured(gallery):
    fill(gallery, 300)
    measured = {"p": {"T→T": cell(370, at_0_01=0.93), "S→T": cell(370, at_0_01=0.8)}}
    of_teacher, of_student = calibrate(gallery, card(), 0.01), calibrate(gallery, student(measured), 0.01)
    assert of_student.calibrated_on == "gallery"
    assert of_student.value == pytest.approx(of_teacher.value - 0.13)


def test_a_student_in_a_gallery_of_its_own_templates_needs_no_shift(gallery):
    fill(gallery, 300, model_id=STUDENT_ID)
    assert calibrate(gallery, student(), 0.01).value == calibrate(gallery, card(), 0.01).value


def test_a_student_that_was_never_measured_gets_no_threshold_from_the_teachers_templates(gallery):
    fill(gallery, 300)
    with pytest.raises(NotCalibrated, match=r"FPIR 0\.01.*kd evaluate"):
        calibrate(gallery, student(), 0.01)


def test_subjects_that_are_the_same_person_twice_do_not_push_the_threshold_past_one(gallery):
    row = random_rows(1, seed=2)[0]
    gallery.enrol_all([Enrolment(f"s{n}", templates(row)) for n in range(40)], space=SPACE)
    found = calibrate(gallery, card(), 0.1)
    assert found.value == math.nextafter(1.0, 2.0)
    assert (found.low, found.high) == (found.value, found.value)


def test_a_users_threshold_stands_for_no_fpir(gallery):
    fill(gallery, 3)
    assert chosen(0.42, gallery, card(), clock=now) == Threshold(0.42, None, 3, TEACHER_ID, "user", "2026-01-02")


def test_an_estimate_has_an_interval_over_people_and_says_how_many_they_were(gallery):
    fill(gallery, 300)
    found = calibrate(gallery, card(), 0.1)
    assert found.low < found.value < found.high
    assert (found.trials, found.extrapolated) == (300, False)
    assert found == calibrate(gallery, card(), 0.1)


def test_what_comes_from_the_card_or_a_user_has_neither(gallery):
    fill(gallery, 3)
    of_card = calibrate(gallery, card({"p": {"T→T": cell(370, at_0_01=0.9)}}))
    of_user = chosen(0.42, gallery, card())
    assert [(found.low, found.high, found.trials) for found in (of_card, of_user)] == [(None, None, None)] * 2


def test_a_rate_that_the_subjects_almost_show_is_extrapolated_and_says_so(gallery):
    fill(gallery, 500)
    found = calibrate(gallery, card(), 0.001)
    assert (found.calibrated_on, found.extrapolated, found.trials) == ("gallery", True, 500)
    assert shown(np.sort(gallery_trials(gallery).scores)[::-1], 3 / 500) < found.value <= math.nextafter(1, 2)
    gallery.forget("s7")
    with pytest.raises(NotCalibrated, match=r"499 Subjects are too few.*at least 500 Subjects"):
        calibrate(gallery, card(), 0.001)


def test_a_student_whose_card_is_silent_at_this_fpir_is_told_so_and_not_that_subjects_are_few(gallery):
    fill(gallery, 500)
    measured = {"p": {"T→T": cell(370, at_0_01=0.93), "S→T": cell(370, at_0_01=0.8)}}
    with pytest.raises(NotCalibrated, match=r"the Templates are the teacher's.*--probes of at least 500 people"):
        calibrate(gallery, student(measured), 0.001)


def test_the_interval_of_a_student_is_moved_as_its_threshold_is(gallery):
    fill(gallery, 300)
    measured = {"p": {"T→T": cell(370, at_0_01=0.93), "S→T": cell(370, at_0_01=0.8)}}
    of_teacher, of_student = calibrate(gallery, card(), 0.01), calibrate(gallery, student(measured), 0.01)
    assert of_student.low == pytest.approx(of_teacher.low - 0.13)
    assert of_student.high == pytest.approx(of_teacher.high - 0.13)


def strangers(people: int, photos: int = 2, seed: int = 5) -> Probes:
    names = tuple(f"stranger {n}" for n in range(people) for _ in range(photos))
    return Probes(names, random_rows(people * photos, seed=seed))


def test_with_probes_the_threshold_is_the_one_that_few_enough_of_them_reach(gallery):
    fill(gallery, 20)
    probes = strangers(40)
    found = Calibration(gallery, student(), probes, clock=now).threshold(0.1)
    assert (found.calibrated_on, found.subjects, found.trials) == ("probes", 20, 40)
    assert (found.model_id, found.date) == (STUDENT_ID, "2026-01-02")
    best = [hits[0].score for hits in gallery.search(probes.rows, 1, space=SPACE)]
    assert sum(score >= found.value for score in best) == 8
    assert sum(score >= found.value - 1e-9 for score in best) == 9


def test_probes_of_too_few_people_are_refused_whatever_the_number_of_their_photos(gallery):
    fill(gallery, 300)
    calibration = Calibration(gallery, card({"p": {"T→T": cell(370, at_0_1=0.9)}}), strangers(29, photos=20))
    with pytest.raises(NotCalibrated, match=r"probes are of too few people: 29. Give probes of at least 30"):
        calibration.threshold(0.1)
    (row,) = calibration.table([0.1])
    assert row.threshold is None
    assert row.reason.startswith("no threshold for FPIR 0.1: the probes are of too few people: 29.")


def test_the_table_says_how_many_enrolled_people_are_missed_at_each_threshold(gallery):
    fill(gallery, 300)
    rows = np.stack([as_stored(row) for row in random_rows(600, seed=11)]).astype(np.float64)
    scores = rows[1::2] @ rows.T  # of each Subject's second Template, with all
    own = [scores[n, 2 * n] for n in range(300)]
    others = [np.delete(scores[n], [2 * n, 2 * n + 1]).max() for n in range(300)]
    for row in Calibration(gallery, card()).table([0.1, 0.01]):
        missed = [mine < row.threshold.value or mine <= other for mine, other in zip(own, others, strict=True)]
        assert (row.mated, row.fnir) == (300, pytest.approx(np.mean(missed)))


def test_nobody_can_say_what_a_student_misses_in_a_gallery_of_its_teachers_templates(gallery):
    fill(gallery, 300)
    measured = {"p": {"T→T": cell(370, at_0_1=0.93), "S→T": cell(370, at_0_1=0.8)}}
    (row,) = Calibration(gallery, student(measured)).table([0.1])
    assert row.threshold is not None
    assert (row.fnir, row.mated) == (None, 0)
