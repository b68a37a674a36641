"""Intervals over people: known answers, and each resample against the same photos counted one by one."""

import math

import numpy as np
import pytest

from kd.evaluate.bootstrap import draw_subjects, figure, of_pairs, of_probes, over_resamples
from kd.evaluate.rates import share


def interval(hit, subject, *, seed=0, resamples=4000):
    hit, subject = np.array(hit), np.array(subject)
    weights = draw_subjects(subject, subject.max() + 1, resamples=resamples, seed=seed)
    samples = over_resamples(lambda block: {"hits": share(hit, of_probes(block, subject))}, weights, len(hit))
    return figure(samples["hits"])


def test_of_two_people_one_known_the_interval_is_everything():
    found = interval([True, False], [0, 1])
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def binomial_quantile(n, p, q):
    below = 0.0
    for k in range(n + 1):
        below += math.comb(n, k) * p**k * (1 - p) ** (n - k)
        if below >= q:
            return k / n
    return 1.0


def test_one_photo_a_person_gives_the_binomial_interval():
    people, known = 80, 60
    found = interval([i < known for i in range(people)], range(people))
    assert found.value == 0.75
    assert found.low == pytest.approx(binomial_quantile(people, 0.75, 0.025), abs=1.5 / people)
    assert found.high == pytest.approx(binomial_quantile(people, 0.75, 0.975), abs=1.5 / people)


def test_more_photos_of_the_same_people_do_not_make_it_surer():
    once = interval([i < 60 for i in range(80)], range(80))
    five_times = interval([i < 60 for i in range(80) for _ in range(5)], [i for i in range(80) for _ in range(5)])
    assert five_times == once


def test_the_same_seed_gives_the_same_resamples():
    people = np.arange(50)
    drawn = [draw_subjects(people, 50, resamples=20, seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_the_first_row_is_the_sample_and_every_other_as_large():
    weights = draw_subjects(np.array([4, 1, 1, 2]), 6, resamples=9, seed=0)
    assert weights[0].tolist() == [0, 1, 1, 0, 1, 0]
    assert (weights.sum(axis=1) == 3).all()
    assert (weights[:, [0, 3, 5]] == 0).all()  # those that take no part are never drawn


def test_a_pair_of_two_people_counts_as_often_as_they_were_drawn_together():
    people = [2, 0, 1]  # Subject 0 twice, Subject 2 once
    drawn = [0, 0, 2]
    pairs = [(0, 1), (0, 2), (2, 0)]
    counted = [sum(x == a and y == b for x in drawn for y in drawn) for a, b in pairs]
    left, right = np.array(pairs).T
    assert of_pairs(np.array([people], dtype=float), left, right)[0].tolist() == counted


def test_resamples_without_the_rate_are_left_out():
    assert figure(np.array([0.5, np.nan, 0.25, 0.75])).value == 0.5
    assert figure(np.array([0.5, np.nan, 0.5])).low == 0.5
    assert math.isnan(figure(np.array([0.5, np.nan])).low)


def test_blocks_change_nothing():
    subject = np.arange(2000) % 300
    hit = subject % 3 == 0
    weights = draw_subjects(subject, 300, resamples=50, seed=0)
    rates = lambda block: {"hits": share(hit, of_probes(block, subject))}  # noqa: E731
    whole, split = over_resamples(rates, weights, 1), over_resamples(rates, weights, 2**21)
    assert np.allclose(whole["hits"], split["hits"], atol=1e-7)
