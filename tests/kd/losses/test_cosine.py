"""`cosine`: the direction of the teacher's embedding."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.losses.cosine import Cosine, cosine
from tests.kd.losses.parts import FLOOR, dot, inherited, setting, step, student_rows, unit_rows


def test_it_is_one_minus_the_cosine_of_each_pair():
    ours, theirs = unit_rows(3), unit_rows(3, seed=1)
    assert cosine(ours, theirs).tolist() == pytest.approx([1 - dot(a, b) for a, b in zip(ours, theirs, strict=True)])


def test_it_is_half_the_squared_distance_of_unit_rows():
    ours, theirs = unit_rows(3), unit_rows(3, seed=1)
    assert_close(cosine(ours, theirs), (ours - theirs).square().sum(dim=1) / 2)


def test_it_has_the_slopes_of_its_values():
    assert gradcheck(lambda rows: cosine(rows, unit_rows(3, seed=1)), unit_rows(3).requires_grad_())


def test_no_gradient_reaches_the_teacher():
    theirs = unit_rows(2, seed=1).requires_grad_()
    cosine(unit_rows(2).requires_grad_(), theirs).sum().backward()
    assert theirs.grad is None


def test_the_length_of_an_embedding_does_not_count():
    raw, theirs, loss = student_rows(3), unit_rows(3, seed=1), Cosine(setting())
    assert_close(loss(step(7 * raw, [0, 1, 2], theirs)), loss(step(raw, [0, 1, 2], theirs)))


def test_in_a_cone_it_is_measured_by_the_width_of_the_cone():
    batch = step(student_rows(3), [0, 1, 2], unit_rows(3, seed=1))
    assert_close(Cosine(setting())(batch) * (1 - FLOOR), Cosine(setting(inherited(floor=0)))(batch))


def test_a_row_without_a_teacher_does_not_count():
    raw, theirs, loss = student_rows(3), unit_rows(3, seed=1), Cosine(setting())
    unanswered = theirs.clone().index_fill_(0, torch.tensor([1]), torch.nan)
    assert_close(loss(step(raw, [0, 1, 2], unanswered)), loss(step(raw[[0, 2]], [0, 2], theirs[[0, 2]])))
