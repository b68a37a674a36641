"""Published rates against counting by hand; a weighted sample against the same sample with its cases repeated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd.evaluate.rates import (
    NO_FACE,
    best_threshold,
    miss_rate,
    pair_accuracy,
    share,
    share_reaching,
    supported,
    threshold_at,
    top_share,
    trade_off,
)

SCORES = st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=30)
RATES = st.sampled_from([0.0, 0.01, 0.1, 0.29, 0.5, 1.0])


def once(scores):
    return np.ones((1, len(scores)))


def drawn(random, count):
    """How often each of so many cases counts; at least one does."""
    weights = np.array([[random.randrange(3) for _ in range(count)]], dtype=float)
    weights[0, random.randrange(count)] += 1
    return weights


def repeated(values, weights):
    return np.repeat(np.array(values), weights[0].astype(int))


def lowest_threshold(scores, rate):
    """By definition: of all thresholds that part the scores, the lowest that at most this share of them reaches."""
    candidates = [NO_FACE, *(np.nextafter(score, np.inf) for score in scores)]
    return min(
        t for t in candidates if sum(s >= t for s in scores) <= rate * len(scores) + 1e-9 or t == max(candidates)
    )


@given(SCORES, RATES, st.randoms())
def test_the_threshold_is_the_lowest_that_so_few_impostors_reach(scores, rate, random):
    weights = drawn(random, len(scores))
    (found,) = threshold_at(np.array(scores), rate, weights)
    counted = repeated(scores, weights).tolist()
    assert sum(s >= found for s in counted) <= rate * len(counted) + 1e-9 or found == NO_FACE
    if found > NO_FACE:
        below = np.nextafter(found, -2)
        assert sum(s >= below for s in counted) > rate * len(counted)
    assert found == lowest_threshold(counted, rate) or rate >= 1


@given(SCORES, st.floats(-1, 1), st.randoms())
def test_a_share_is_counted_by_weight(scores, threshold, random):
    weights = drawn(random, len(scores))
    (found,) = share_reaching(np.array(scores), np.array([threshold]), weights)
    assert found == pytest.approx(np.mean([s >= threshold for s in repeated(scores, weights)]))


def test_a_score_equal_to_the_threshold_is_accepted():
    assert share_reaching(np.array([0.5]), np.array([0.5]), once([0]))[0] == 1


def test_each_row_is_judged_at_its_own_threshold():
    scores = np.array([0.1, 0.2, 0.3, 0.4])
    found = share_reaching(scores, np.array([0.35, 0.15, np.nan]), np.ones((3, 4)))
    assert found[:2].tolist() == [0.25, 0.75]
    assert np.isnan(found[2])


def test_a_rate_of_nobody_is_no_number():
    nobody = np.zeros((1, 2))
    assert np.isnan(share(np.array([True, False]), nobody)[0])
    assert np.isnan(threshold_at(np.array([0.1, 0.2]), 0.1, nobody)[0])
    assert np.isnan(threshold_at(np.array([]), 0.1, np.ones((1, 0)))[0])


def test_a_hundredth_of_three_hundred_is_three():
    strangers = np.linspace(0, 1, 300)
    (threshold,) = threshold_at(strangers, 0.01, once(strangers))
    assert (strangers >= threshold).sum() == 3
    assert supported(0.01, 1000)
    assert not supported(0.01, 999)


def errors_at(threshold, scores, same):
    return sum((score >= threshold) != genuine for score, genuine in zip(scores, same, strict=True))


@given(SCORES, st.randoms())
def test_no_threshold_makes_fewer_errors_than_the_best(scores, random):
    weights, same = drawn(random, len(scores)), np.array([random.random() < 0.5 for _ in scores])
    (found,) = best_threshold(np.array(scores), same, weights)
    counted, genuine = repeated(scores, weights), repeated(same, weights)
    candidates = [-3.0, 3.0, *counted, *(np.nextafter(counted, np.inf))]
    assert errors_at(found, counted, genuine) == min(errors_at(one, counted, genuine) for one in candidates)


def naive_accuracy(scores, same, fold):
    accuracies = []
    for held_out in sorted(set(fold)):
        train = [(s, g) for s, g, f in zip(scores, same, fold, strict=True) if f != held_out]
        test = [(s, g) for s, g, f in zip(scores, same, fold, strict=True) if f == held_out]
        (chosen,) = best_threshold(np.array([s for s, _ in train]), np.array([g for _, g in train]), once(train))
        accuracies.append(sum((s >= chosen) == g for s, g in test) / len(test))
    return sum(accuracies) / len(accuracies)


@given(st.integers(2, 5), st.randoms())
def test_each_fold_is_judged_at_the_others_threshold(folds, random):
    fold = np.array([i % folds for i in range(6 * folds)])
    scores = np.array([random.random() for _ in fold])
    same = np.array([random.random() < 0.5 for _ in fold])
    assert pair_accuracy(scores, same, fold, once(scores))[0] == pytest.approx(naive_accuracy(scores, same, fold))


def test_a_fold_that_needs_another_threshold_pays_for_it():
    same, fold = np.array([True, False, True, False]), np.array([0, 0, 1, 1])
    assert pair_accuracy(np.array([0.9, 0.1, 0.5, 0.4]), same, fold, once(same))[0] == 1.0
    assert pair_accuracy(np.array([0.9, 0.6, 0.5, 0.4]), same, fold, once(same))[0] == 0.5


def test_a_mate_is_missed_by_rank_or_by_threshold():
    mate, rank = np.array([0.9, 0.46, 0.44, 0.8]), np.array([1, 1, 1, 2])
    (missed,) = miss_rate(mate, rank, np.array([0.45]), once(rank))
    assert missed == 0.5  # one below the threshold, one whose best Candidate was somebody else
    assert [top_share(rank, k, once(rank))[0] for k in (1, 2)] == [0.75, 1.0]


@given(SCORES, SCORES, st.integers(2, 40))
def test_a_curve_is_made_of_the_thresholds_of_its_rates(impostors, genuine, points):
    impostors, genuine = np.array(impostors), np.array(genuine)
    rates, reached = trade_off(impostors, genuine, points)
    assert rates[-1] == 1
    for rate, share_of_genuine in zip(rates, reached, strict=True):
        threshold = threshold_at(impostors, rate, once(impostors))
        assert share_of_genuine == pytest.approx(share_reaching(genuine, threshold, once(genuine))[0])
