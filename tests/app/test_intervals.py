"""How sure a counted share is: against published values, naive formulas, and people drawn at random."""

import math

import numpy as np
import pytest

from app.intervals import Z, difference, effective_size, share


def each_somebody_else(count):
    return list(range(count))


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_independent_probes_is_wilsons(count, of, low, high):
    """Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I, method 3."""
    found = share([True] * count + [False] * (of - count), each_somebody_else(of))
    assert (found.count, found.of, found.people) == (count, of, of)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_nothing_is_said_of_no_probes():
    assert share([], []).value is None
    assert difference([], [], []).value is None


def test_ten_photos_of_each_person_that_always_agree_count_once():
    people = np.repeat(np.arange(40), 10).tolist()
    marks = [person % 4 == 0 for person in people]
    once = share([person % 4 == 0 for person in range(40)], each_somebody_else(40))
    assert effective_size(np.array(marks, dtype=float), people) == pytest.approx(40)
    assert (share(marks, people).low, share(marks, people).high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_photos_of_one_person_that_have_nothing_in_common_count_each():
    people, draw = np.repeat(np.arange(500), 4).tolist(), np.random.default_rng(1)
    assert effective_size((draw.random(2000) < 0.3).astype(float), people) > 1700


def test_a_share_of_nothing_or_all_is_as_sure_as_there_are_people():
    found = share([False] * 300, np.repeat(np.arange(30), 10).tolist())
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(share([False] * 30, each_somebody_else(30)).high)


def test_one_person_alone_is_one_probe():
    assert share([True, False] * 50, ["ada"] * 100).high > 0.9


def naive_difference(first, second):
    """Agresti & Min 2005, for independent pairs: the four cells of the table, half a pair more in each."""
    cells = {(a, b): 0.5 for a in (False, True) for b in (False, True)}
    for pair in zip(first, second, strict=True):
        cells[pair] += 1
    n = sum(cells.values())
    more, fewer = cells[False, True] / n, cells[True, False] / n
    reach = Z * math.sqrt((more + fewer - (more - fewer) ** 2) / n)
    return more - fewer - reach, more - fewer + reach


def test_the_interval_of_a_difference_is_that_of_the_naive_formula():
    draw = np.random.default_rng(2)
    first, second = (draw.random(80) < 0.3).tolist(), (draw.random(80) < 0.4).tolist()
    found = difference(first, second, each_somebody_else(80))
    assert found.value == pytest.approx(np.mean(second) - np.mean(first))
    assert [found.low, found.high] == pytest.approx(naive_difference(first, second))


def test_models_that_never_differ_may_still_differ_elsewhere():
    found = difference([True] * 30, [True] * 30, each_somebody_else(30))
    assert found.value == 0
    assert found.low == pytest.approx(-found.high)
    assert 0.03 < found.high < 0.15


@pytest.mark.parametrize("rate", [0.03, 0.3])
def test_the_true_share_lies_within_for_19_of_20_draws_of_people(rate):
    """Each person has her own rate (beta), so her five photos are alike."""
    draw, inside = np.random.default_rng(3), 0
    for _ in range(400):
        own = draw.beta(2 * rate, 2 * (1 - rate), size=80)
        people = np.repeat(np.arange(80), 5)
        found = share((draw.random(400) < own[people]).tolist(), people.tolist())
        inside += found.low <= rate <= found.high
    assert inside / 400 > 0.92
