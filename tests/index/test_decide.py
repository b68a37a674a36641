"""A Decision: the best Candidate that reaches the threshold and is not refused, or unknown."""

from dataclasses import replace

from index.gallery import Candidate
from index.threshold import Threshold, decide
from tests.index.fakes import TEACHER_ID

AT_HALF = Threshold(0.5, 0.01, 400, TEACHER_ID, "gallery", "2026-01-02")


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


def test_a_decision_carries_what_its_threshold_stands_for():
    assert decide([], AT_HALF).threshold is AT_HALF


def test_a_candidate_is_passed_over_when_a_negative_example_of_it_is_as_near():
    twin, ada = Candidate("twin", "", 0.9, 1, negative=0.9), Candidate("ada", "", 0.7, 2, negative=0.6)
    assert decide([twin, ada], AT_HALF).subject_id == "ada"
    assert decide([twin], AT_HALF).subject_id is None
    assert decide([replace(twin, negative=0.89)], AT_HALF).subject_id == "twin"
