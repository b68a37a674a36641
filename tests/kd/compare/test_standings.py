"""Means and spreads over seeds, and sentences that follow from them alone."""

import math

import pytest

from kd.compare.standings import Row, Spread, Standings, apart, findings
from tests.kd.compare.parts import SEARCH, outcome, row

L2 = row("L2", "l2", 0.50, 0.52, 0.54)
PROXYLESS = row("ProxylessKD", "proxyless", 0.60, 0.62, 0.64)
HYBRID = row("both", "0.1*proxyless+cosine", 0.61, 0.62, 0.63)


def test_a_spread_is_mean_and_sample_deviation():
    values = (0.1, 0.4, 0.7)
    mean = sum(values) / 3
    naive = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
    assert (Spread(values).mean, Spread(values).deviation) == (pytest.approx(mean), pytest.approx(naive))
    assert str(Spread(values)) == "0.400 ± 0.300"


def test_one_seed_has_no_spread_and_none_has_no_figure():
    assert str(Spread((0.25,))) == "0.250"
    assert str(Spread(())) == "–"


def test_two_methods_are_apart_by_their_difference_over_the_pooled_spread():
    one, other = Spread((0.5, 0.7)), Spread((0.2, 0.3))
    pooled = math.sqrt((one.deviation**2 + other.deviation**2) / 2)
    assert apart(one, other) == pytest.approx(0.35 / pooled)
    assert apart(other, one) == -apart(one, other)


@pytest.mark.parametrize("other", [Spread((0.2,)), Spread((0.2, 0.2))])
def test_without_a_spread_nothing_is_said_of_chance(other):
    assert math.isnan(apart(Spread((0.5, 0.5)), other))


def test_figures_are_over_the_seeds_that_are_done():
    some = Row(L2.rival, {0: outcome(0.4, 0.2), 1: outcome(0, failed="loss is not finite at step: 7"), 2: outcome(0.6)})
    assert some.rank1(SEARCH).values == (0.4, 0.6)
    assert some.rank1(SEARCH, "S→S").values == (0.2, 0.3)
    assert some.retention(SEARCH).values == pytest.approx((0.5, 0.75))
    assert some.failed == {1: "loss is not finite at step: 7"}


def test_the_findings_are_who_is_best_proxyless_against_l2_and_a_hybrid_against_both():
    assert findings(Standings((L2, PROXYLESS, HYBRID))) == [
        "N = 370: ProxylessKD is best at searching the teacher's gallery, rank-1 0.620 ± 0.020, "
        "0.0 standard deviations above both, 0.620 ± 0.010.",
        "N = 370: ProxylessKD (0.620 ± 0.020) beats L2 (0.520 ± 0.020) by 5.0 standard deviations.",
        "N = 370: the best hybrid, both (0.620 ± 0.010) is ahead of, but does not clearly beat, ProxylessKD "
        "(0.620 ± 0.020) by 0.0 standard deviations, the better of the two.",
    ]


@pytest.mark.parametrize(
    ("proxyless", "said"),
    [
        ((0.70, 0.72, 0.74), "ProxylessKD (0.720 ± 0.020) beats L2"),
        ((0.51, 0.53, 0.55), "ProxylessKD (0.530 ± 0.020) is ahead of, but does not clearly beat, L2"),
        ((0.49, 0.51, 0.53), "ProxylessKD (0.510 ± 0.020) is behind, but not clearly beaten by, L2"),
        ((0.30, 0.32, 0.34), "ProxylessKD (0.320 ± 0.020) is beaten by L2"),
        ((0.60,), "ProxylessKD (0.600) is ahead of L2"),
        ((0.40,), "ProxylessKD (0.400) is not ahead of L2"),
    ],
)
def test_a_disappointing_result_is_said_as_it_is(proxyless, said):
    assert said in findings(Standings((L2, row("ProxylessKD", "proxyless", *proxyless))))[1]


def test_nothing_is_said_of_methods_that_were_not_compared():
    assert len(findings(Standings((L2, HYBRID)))) == 1
    assert findings(Standings((L2,))) == []
    assert findings(Standings(())) == []
