"""EKD against its formula, threshold by threshold and pair by pair."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.losses.ekd import RATES, Ekd, rank_gap, soft_ranks, thresholds
from tests.kd.losses.relational import rotation, setting, slope, step, unit_rows

LABELS = [0, 1, 0, 2, 1, -1, 2]


def naive_ekd(student, teacher, labels, *, hardest, temperature=0.01):
    """The loss of a first batch, whose thresholds are its own."""

    def dot(x, y):
        return sum(a * b for a, b in zip(x, y, strict=True))

    positive, negative = [], []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            if labels[i] >= 0 and labels[j] >= 0:
                pair = (dot(student[i], student[j]), dot(teacher[i], teacher[j]))
                (positive if labels[i] == labels[j] else negative).append(pair)

    def rank(cosine, network):
        ranked = sorted((pair[network] for pair in negative), reverse=True)
        levels = [ranked[len(ranked) // 10**k] for k in range(1, 7)]
        return sum(1 / (1 + math.exp(-(cosine - level) / temperature)) for level in levels)

    def gap(pairs):
        return sum((rank(ours, 0) - rank(theirs, 1)) ** 2 for ours, theirs in pairs) / max(len(pairs), 1)

    return 0.02 * gap(positive) + 0.01 * gap(sorted(negative, reverse=True)[:hardest])


@pytest.mark.parametrize("hardest", [1, 5, 2000])
@pytest.mark.parametrize("labels", [LABELS, [0, 1, 2, 3, 4, 5, 6], [0] * 6 + [1]])
def test_the_first_batch_is_ranked_among_its_own_negative_pairs(labels, hardest):
    student, teacher = unit_rows(7), unit_rows(7, seed=1)
    expected = naive_ekd(student.tolist(), teacher.tolist(), labels, hardest=hardest)
    assert float(Ekd(setting(), hardest=hardest)(step(student, teacher, labels))) == pytest.approx(expected, rel=1e-9)


def test_a_threshold_is_what_so_many_negative_pairs_exceed():
    cosines = torch.linspace(-1, 1, 100_001, dtype=torch.float64)[torch.randperm(100_001)]
    found = thresholds(cosines)
    assert [(cosines > level).sum().item() for level in found] == [10_000, 1_000, 100, 10, 1, 0]


def test_few_negative_pairs_put_the_strict_thresholds_at_the_largest():
    assert thresholds(torch.tensor([0.1, 0.5, 0.3])).tolist() == pytest.approx([0.5] * 6)


def test_a_soft_rank_counts_the_thresholds_below():
    at = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    ranks = soft_ranks(torch.tensor([-0.5, 0.2, 0.45, 0.9]), at, temperature=0.001)
    assert_close(ranks, torch.tensor([0.0, 1.5, 4.0, 6.0]))


def test_it_has_the_slopes_of_its_values():
    cosines, theirs = torch.linspace(0, 0.5, 8, dtype=torch.float64), torch.linspace(0.5, 0, 8, dtype=torch.float64)
    at = torch.linspace(0, 0.5, 12, dtype=torch.float64).view(2, 6)
    assert gradcheck(lambda c: rank_gap(c, theirs, at, temperature=0.1), cosines.requires_grad_())


def test_the_whole_method_has_the_slopes_of_its_values():
    teacher = unit_rows(7, seed=1)

    def first_batch(rows, ours):
        loss = Ekd(setting(), temperature=0.2)
        loss._observe = lambda _: torch.stack([ours, ours])  # thresholds have no slope: numeric ones must hold still
        return loss(step(rows, teacher, LABELS))

    at = torch.linspace(0, 0.5, 6, dtype=torch.float64)
    assert gradcheck(lambda rows: first_batch(rows, at), unit_rows(7).requires_grad_())


def test_thresholds_are_the_mean_of_the_batches_so_far_from_the_first_one_on():
    loss = Ekd(setting(), momentum=0.25)
    first, second = torch.full((2, len(RATES)), 0.8), torch.full((2, len(RATES)), 0.1)
    assert_close(loss._observe(first), first.double())
    assert_close(loss._observe(second), torch.full((2, len(RATES)), (0.75 * 0.8 + 0.1) / 1.75).double())


def test_thresholds_are_in_the_checkpoint():
    loss, other = Ekd(setting()), Ekd(setting())
    loss(step(unit_rows(7), unit_rows(7, seed=1), LABELS))
    other.load_state_dict(loss.state_dict())
    later = step(unit_rows(7, seed=2), unit_rows(7, seed=3), LABELS)
    assert_close(other(later), loss(later), rtol=0, atol=0)


def test_no_gradient_reaches_the_teacher():
    teacher = unit_rows(7, seed=1).requires_grad_()
    Ekd(setting())(step(unit_rows(7).requires_grad_(), teacher, LABELS)).backward()
    assert teacher.grad is None


def test_a_rotation_of_the_student_changes_nothing():
    rows, teacher = unit_rows(7), unit_rows(7, seed=1)
    assert_close(Ekd(setting())(step(rows @ rotation(), teacher, LABELS)), Ekd(setting())(step(rows, teacher, LABELS)))
    assert not Ekd.anchored


@pytest.mark.parametrize("labels", [[], [0], [1, 1, 1], [-1, -1, -1], [2, -1, -1]])
def test_without_a_negative_pair_there_is_nothing_to_rank_among(labels):
    count, loss = len(labels), Ekd(setting())
    value, gradient = slope(loss, step(unit_rows(count), unit_rows(count, seed=1), labels))
    assert value == 0
    assert_close(gradient, torch.zeros_like(gradient))
    assert loss.weight == 0


def test_rows_without_a_teacher_do_not_count():
    student, teacher, taught = unit_rows(7), unit_rows(7, seed=1), [0, 1, 3, 4, 5, 6]
    teacher[2] = torch.nan
    value, _ = slope(Ekd(setting()), step(student, teacher, LABELS))
    kept = step(student[taught], teacher[taught], [LABELS[i] for i in taught])
    assert value == pytest.approx(float(Ekd(setting())(kept)))
