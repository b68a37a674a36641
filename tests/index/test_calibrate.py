"""A threshold says what it stands for, and none is made up."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from faces.space import Cell, Grid, ModelCard
from index.calibrate import calibrate, chosen
from index.errors import NotCalibrated
from index.gallery import Candidate, Enrolment, LocalGallery
from index.threshold import Threshold, decide
from tests.index.fakes import SPACE, TEACHER_ID, as_stored, card, random_rows, templates

STUDENT_ID = "fedcba9876543210"
AT_HALF = Threshold(0.5, 0.01, 400, TEACHER_ID, "gallery", "2026-01-02")


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
    assert decide([Candidate("s1", "", 1.0, 1)], found).subject_id is None


def test_a_users_threshold_stands_for_no_fpir(gallery):
    fill(gallery, 3)
    assert chosen(0.42, gallery, card(), clock=now) == Threshold(0.42, None, 3, TEACHER_ID, "user", "2026-01-02")


def test_the_best_candidate_over_the_threshold_is_the_match():
    candidates = [Candidate("bob", "", 0.6, 2), Candidate("ada", "", 0.7, 3), Candidate("cy", "", 0.4, 1)]
    assert decide(candidates, AT_HALF).subject_id == "ada"


def test_a_score_equal_to_the_threshold_is_a_match():
    assert decide([Candidate("ada", "", 0.5, 1)], AT_HALF).subject_id == "ada"


def test_below_the_threshold_and_without_candidates_the_answer_is_unknown():
    assert decide([Candidate("ada", "", 0.4999999, 1)], AT_HALF).subject_id is None
    assert decide([], AT_HALF).subject_id is None


def test_equal_scores_are_decided_for_the_older_template():
    candidates = [Candidate("bob", "", 0.6, 9), Candidate("ada", "", 0.6, 4)]
    assert decide(candidates, AT_HALF).subject_id == "ada"


def test_a_threshold_of_zero_is_a_threshold():
    at_zero = replace(AT_HALF, value=0.0)
    assert decide([Candidate("ada", "", -0.1, 1)], at_zero).subject_id is None
    assert decide([Candidate("ada", "", 0.0, 1)], at_zero).subject_id == "ada"
