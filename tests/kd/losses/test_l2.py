"""`l2`: the teacher's embedding, length and all."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.losses.cosine import Cosine
from kd.losses.l2 import L2, squared_distance
from tests.kd.losses.parts import FLOOR, setting, step, student_rows, unit_rows


def naive(ours, theirs):
    return [
        sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
        for x, y in zip(ours.tolist(), theirs.tolist(), strict=True)
    ]


def test_it_is_the_squared_distance_of_each_pair():
    ours, theirs = student_rows(3), unit_rows(3, seed=1)
    assert squared_distance(ours, theirs).tolist() == pytest.approx(naive(ours, theirs))


def test_it_has_the_slopes_of_its_values():
    assert gradcheck(lambda rows: squared_distance(rows, unit_rows(3, seed=1)), student_rows(3).requires_grad_())


def test_no_gradient_reaches_the_teacher():
    theirs = unit_rows(2, seed=1).requires_grad_()
    squared_distance(student_rows(2).requires_grad_(), theirs).sum().backward()
    assert theirs.grad is None


def test_the_raw_embedding_is_what_counts_in_the_width_of_the_cone():
    ours, theirs = student_rows(3), unit_rows(3, seed=1)
    expected = sum(naive(ours, theirs)) / 3 / (1 - FLOOR)
    assert float(L2(setting())(step(ours, [0, 1, 2], theirs))) == pytest.approx(expected)


def test_the_right_direction_at_the_wrong_length_is_still_wrong():
    theirs = unit_rows(3, seed=1)
    assert float(L2(setting())(step(3 * theirs, [0, 1, 2], theirs))) == pytest.approx(4 / (1 - FLOOR))


def test_a_student_of_length_one_pays_twice_what_cosine_asks():
    ours, theirs = F.normalize(student_rows(3)), unit_rows(3, seed=1)
    batch = step(ours, [0, 1, 2], theirs)
    assert_close(L2(setting())(batch), 2 * Cosine(setting())(batch))


def test_a_row_without_a_teacher_does_not_count():
    raw, theirs, loss = student_rows(3), unit_rows(3, seed=1), L2(setting())
    unanswered = theirs.clone().index_fill_(0, torch.tensor([1]), torch.nan)
    assert_close(loss(step(raw, [0, 1, 2], unanswered)), loss(step(raw[[0, 2]], [0, 2], theirs[[0, 2]])))
