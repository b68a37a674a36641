"""A rate that the trials show is counted, one that they almost show is continued, and beyond that is refused."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.tail import ENOUGH_ALARMS, Floats, Tail, Trials, continued, estimate, rate_at, shown, trials_needed

TAILS = {  # of one stranger's score with one Subject: (cumulative, its inverse)
    "normal, without an end": (NormalDist(0, 0.08).cdf, NormalDist(0, 0.08).inv_cdf),
    "a long way to an end at 1": (lambda x: 1 - (1 - x) ** 20, lambda p: 1 - (1 - p) ** (1 / 20)),
    "a steep end at 1": (lambda x: 1 - (1 - x) ** 4, lambda p: 1 - (1 - p) ** (1 / 4)),
}


def best_of(inverse, subjects: int, trials: int, seed: int) -> Floats:
    """(trials,) the highest of so many independent scores, highest first."""
    uniform = np.random.default_rng(seed).random(trials) ** (1 / subjects)
    return np.sort([inverse(p) for p in uniform])[::-1]


def alone(scores: Floats) -> Trials:
    return Trials(np.asarray(scores, dtype=np.float64), np.arange(len(scores)), len(scores))


def naive_shown(scores: Floats, rate: float) -> float:
    """Try every score as a threshold; the lowest that few enough reach, as exclusive bound."""
    return min(t for t in scores if sum(s > t for s in scores) <= rate * len(scores) + 1e-9)


def naive_moments(excesses: Floats) -> tuple[float, float]:
    """a₀ = E[y] and a₁ = E[y (1 - F(y))]: half the mean of the smaller of two different excesses."""
    smaller = [min(a, b) for i, a in enumerate(excesses) for j, b in enumerate(excesses) if i != j]
    return float(np.mean(excesses)), float(np.mean(smaller)) / 2


@given(
    scores=st.lists(st.floats(-1, 1), min_size=1, max_size=60),
    rate=st.floats(0.001, 0.5),
)
def test_what_is_shown_is_the_lowest_threshold_that_few_enough_scores_reach(scores, rate):
    falling = np.sort(np.array(scores))[::-1]
    assert shown(falling, rate) == np.nextafter(naive_shown(falling, rate), np.inf)


def test_the_fit_is_that_of_the_probability_weighted_moments():
    scores = np.sort(np.random.default_rng(3).beta(2, 5, 60))[::-1]
    tail = Tail.of(scores)
    mean, moment = naive_moments(scores[:50] - scores[50])
    assert tail.start == scores[50]
    assert tail.rate == 50 / 60
    assert tail.shape == pytest.approx(2 - mean / (mean - 2 * moment))
    assert tail.scale == pytest.approx(2 * mean * moment / (mean - 2 * moment))


@pytest.mark.parametrize("shape", [-0.5, -0.2, -0.05])
def test_a_generalised_pareto_tail_gets_its_parameters_back(shape):
    chance = np.random.default_rng(1).random(100_000)
    scores = np.sort(0.3 + 0.1 / shape * (chance**-shape - 1))[::-1]
    tail = Tail.of(scores)
    assert tail.shape == pytest.approx(shape, abs=0.04)
    excess_scale = 0.1 + shape * (tail.start - 0.3)  # a tail's tail has the same shape and this scale
    assert tail.scale == pytest.approx(excess_scale, rel=0.05)


def test_a_tail_heavier_than_any_bounded_score_has_is_taken_as_exponential():
    chance = np.random.default_rng(1).random(2_000)
    scores = np.sort(0.3 + 0.05 / 0.8 * (chance**-0.8 - 1))[::-1]
    tail = Tail.of(scores)
    assert tail.shape == 0
    assert tail.scale == pytest.approx((scores[:100] - scores[100]).mean())
    gumbel = tail.threshold(tail.rate / 8) - tail.threshold(tail.rate)
    assert gumbel == pytest.approx(tail.scale * math.log(8))


def test_the_threshold_of_a_tail_is_reached_by_that_share_of_it():
    for tail in (Tail(0.4, 0.05, -0.2, 0.03), Tail(0.4, 0.05, 0.0, 0.03)):
        over = tail.threshold(0.001) - tail.start
        survival = math.exp(-over / 0.03) if tail.shape == 0 else (1 - 0.2 * over / 0.03) ** 5
        assert 0.05 * survival == pytest.approx(0.001)
        assert tail.threshold(0.05) == pytest.approx(0.4)


def test_growth_asks_of_one_gallery_what_many_together_must_keep():
    now = rate_at(0.01, growth=8)
    assert 1 - (1 - now) ** 8 == pytest.approx(0.01)
    assert rate_at(0.01, growth=1) == pytest.approx(0.01)
    assert rate_at(now, growth=1 / 8) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("rate", "needed"),
    [(0.1, 30), (0.01, 300), (0.006, 500), (0.001, 500), (0.0001, 3_000), (0.00001, 30_000)],
)
def test_three_false_alarms_are_enough_or_fifty_exceedances_and_a_tenth_of_the_way(rate, needed):
    assert trials_needed(rate) == needed


@pytest.mark.parametrize("name", TAILS)
@pytest.mark.parametrize(("trials", "fpir", "growth"), [(1_000, 0.01, 8), (1_000, 0.001, 1), (10_000, 0.001, 8)])
def test_what_is_predicted_from_fewer_subjects_holds_at_all_of_them(name, trials, fpir, growth):
    """The median over 15 galleries is within a factor of two of the truth, and most are within four."""
    cumulative, inverse = TAILS[name]
    rate = rate_at(fpir, growth)
    assert ENOUGH_ALARMS / rate > trials >= trials_needed(rate)
    predicted = [continued(best_of(inverse, trials, trials, seed), rate) for seed in range(15)]
    had = np.array([1 - cumulative(min(value, 1.0)) ** (growth * trials) for value in predicted]) / fpir
    assert 0.5 < np.median(had) < 2
    assert np.mean(had < 4) >= 0.8


@pytest.mark.parametrize(("trials", "fpir"), [(1_000, 0.01), (300, 0.01), (1_000, 0.001)])
def test_the_interval_holds_the_truth_nearly_as_often_as_it_says(trials, fpir):
    _, inverse = TAILS["a long way to an end at 1"]
    truth = inverse((1 - fpir) ** (1 / trials))
    found = [estimate(alone(best_of(inverse, trials, trials, s)), fpir, resamples=200) for s in range(40)]
    assert sum(one.low <= truth <= one.high for one in found) >= 0.8 * len(found)


def test_an_estimate_says_whether_it_was_extrapolated():
    scores = best_of(TAILS["a steep end at 1"][1], 600, 600, seed=5)
    counted, beyond = estimate(alone(scores), 0.01, resamples=20), estimate(alone(scores), 0.001, resamples=20)
    assert (counted.extrapolated, beyond.extrapolated) == (False, True)
    assert counted.value == shown(scores, 0.01) < beyond.value == continued(scores, 0.001)
    assert beyond.low <= beyond.value <= beyond.high


def test_probes_of_one_person_are_resampled_together():
    scores = best_of(TAILS["a steep end at 1"][1], 100, 200, seed=5)
    each = estimate(alone(scores), 0.1)
    copied = np.repeat(scores, 5)
    together = estimate(Trials(copied, np.repeat(np.arange(200), 5), 200), 0.1)
    as_if_apart = estimate(alone(copied), 0.1)
    assert together.high - together.low == pytest.approx(each.high - each.low, rel=0.3)
    assert as_if_apart.high - as_if_apart.low < 0.7 * (each.high - each.low)


def test_the_same_seed_gives_the_same_interval_in_whatever_order_trials_come():
    trials = alone(best_of(TAILS["a steep end at 1"][1], 100, 100, seed=5))
    order = np.random.default_rng(3).permutation(100)
    shuffled = Trials(trials.scores[order], trials.groups[order], 100)
    assert estimate(trials, 0.1, seed=1) == estimate(shuffled, 0.1, seed=1)
    assert estimate(trials, 0.1, seed=1) != estimate(trials, 0.1, seed=2)


def test_a_lower_rate_never_has_a_lower_threshold():
    """Three people enrolled twice score 0.99: the fitted tail alone would end below them."""
    scores = np.concatenate([np.full(6, 0.99), best_of(TAILS["a steep end at 1"][1], 4, 594, seed=2) / 2])
    values = [estimate(alone(scores), rate, resamples=10).value for rate in (0.1, 0.01, 0.004, 0.001)]
    assert values == sorted(values)


@pytest.mark.parametrize("score", [0.3, 1.0])
def test_equal_scores_give_a_threshold_that_none_of_them_reaches(score):
    found = estimate(alone(np.full(600, score)), 0.001, resamples=10)
    assert (found.low, found.value, found.high) == (np.nextafter(score, np.inf),) * 3
