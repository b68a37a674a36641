"""1:1 against counting pair by pair."""

import numpy as np
import pytest

from kd.evaluate.bootstrap import draw_subjects
from kd.evaluate.pairs import fars_told, pair_curves, pair_samples
from kd.evaluate.protocol import Pairs
from kd.evaluate.templates import pair_scores
from tests.kd.evaluate.parts import drawn_rows

PEOPLE, TEMPLATES = 12, 40


@pytest.fixture
def drawn():
    """Every pair of 40 templates of 12 people, and scores that are higher for genuine ones."""
    rng = np.random.default_rng(0)
    subjects = rng.integers(0, PEOPLE, TEMPLATES)
    left, right = np.triu_indices(TEMPLATES, 1)
    same = subjects[left] == subjects[right]
    return Pairs("", left, right, same, None), subjects, rng.normal(0.3 * same, 0.2)


def naive_tar(genuine, impostor, far):
    """At the lowest threshold above some score that at most this share of impostor pairs reaches."""
    for threshold in sorted(np.nextafter(impostor, np.inf)):
        if sum(score >= threshold for score in impostor) <= far * len(impostor):
            return sum(score >= threshold for score in genuine) / len(genuine)
    raise AssertionError(far)


def test_tar_at_far_is_counted_pair_by_pair(drawn):
    pairs, subjects, scores = drawn
    samples = pair_samples(scores, pairs, subjects, np.ones((1, PEOPLE)))
    for far in fars_told(pairs):
        assert samples[f"tar {far:g}"][0] == pytest.approx(naive_tar(scores[pairs.same], scores[~pairs.same], far))


def test_a_far_needs_ten_impostors_that_it_lets_in(drawn):
    pairs, subjects, scores = drawn
    assert 100 <= (~pairs.same).sum() < 1000
    assert fars_told(pairs) == [0.1]
    assert "tar 0.01" not in pair_samples(scores, pairs, subjects, np.ones((1, PEOPLE)))


def test_each_resample_repeats_its_peoples_pairs(drawn):
    pairs, subjects, scores = drawn
    weights = draw_subjects(subjects, PEOPLE, resamples=4, seed=0)
    samples = pair_samples(scores, pairs, subjects, weights)
    for row, times in enumerate(weights.astype(int)):
        a, b = subjects[pairs.left], subjects[pairs.right]
        counts = np.where(a == b, times[a], times[a] * times[b])
        genuine, impostor = (np.repeat(scores[kind], counts[kind]) for kind in (pairs.same, ~pairs.same))
        assert samples["tar 0.1"][row] == pytest.approx(naive_tar(genuine, impostor, 0.1))


def test_a_pair_without_a_face_is_refused():
    rows = drawn_rows(4, seed=0)
    rows.there[3] = False
    left, right = np.array([0, 0, 3]), np.array([1, 3, 2])
    assert pair_scores(rows, rows, left, right).tolist() == [pytest.approx(rows.vectors[0] @ rows.vectors[1]), -1, -1]


def test_the_curve_ends_where_everybody_is_accepted(drawn):
    pairs, _, scores = drawn
    curve = pair_curves(scores, pairs)
    assert (curve.far[-1], curve.tar[-1]) == (1, 1)
    assert list(curve.tar) == sorted(curve.tar)
