"""Published rates against counting by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd.evaluate.rates import best_threshold, open_set, pair_accuracy

SCORES = st.lists(st.floats(-1, 1), min_size=2, max_size=30)


def errors_at(threshold, scores, same):
    return int(((scores >= threshold) != same).sum())


@given(SCORES, st.randoms())
def test_no_threshold_makes_fewer_errors_than_the_best(scores, random):
    scores = np.array(scores)
    same = np.array([random.random() < 0.5 for _ in scores])
    candidates = [-2.0, 2.0, *scores, *(scores + 1e-9)]
    fewest = min(errors_at(candidate, scores, same) for candidate in candidates)
    assert errors_at(best_threshold(scores, same), scores, same) == fewest


def test_a_fold_is_judged_at_the_other_folds_threshold():
    scores = np.array([0.9, 0.1, 0.5, 0.4])
    same = np.array([True, False, True, False])
    fold = np.array([0, 0, 1, 1])
    # fold 0's best threshold is 0.5, where fold 1 is right on both; fold 1's is 0.45, where fold 0 is
    assert pair_accuracy(scores, same, fold) == 1.0
    assert pair_accuracy(np.array([0.9, 0.6, 0.5, 0.4]), same, fold) == 0.5 * (0.5 + 0.5)


def test_fnir_and_threshold_at_an_fpir():
    strangers = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]) / 2
    mated = np.array([0.9, 0.46, 0.44, 0.8])
    hit = np.array([True, True, True, False])
    (rates,) = open_set(mated, hit, strangers, [0.1])  # one of ten may be answered with somebody
    assert 0.45 < rates.threshold < 0.46
    assert rates.fnir == 0.5  # one below the threshold, one whose best Candidate was somebody else


@given(SCORES, st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_the_fpir_is_never_over_what_was_asked_and_the_threshold_no_higher_than_it_must(scores, fpir):
    strangers = np.array(scores)
    (rates,) = open_set(strangers, np.ones(len(scores), bool), strangers, [fpir])
    assert (strangers >= rates.threshold).mean() <= fpir
    assert (strangers >= np.nextafter(rates.threshold, -2)).mean() > fpir


@pytest.mark.parametrize("fpir", [1.0, 2.0])
def test_where_everybody_may_be_answered_nobody_with_a_face_is_missed(fpir):
    (rates,) = open_set(np.array([0.1]), np.array([True]), np.array([0.5]), [fpir])
    assert rates.fnir == 0
