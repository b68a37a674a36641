"""CCKD against its formula, term by term."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.errors import KnobRefused
from kd.losses.cckd import Cckd, cckd, kernel
from tests.kd.losses.relational import rotation, setting, slope, step, unit_rows


def naive_kernel(x, y, order, gamma):
    dot, total = sum(a * b for a, b in zip(x, y, strict=True)), 0.0
    for p in range(order + 1):
        total += math.exp(-2 * gamma) * (2 * gamma) ** p / math.factorial(p) * dot**p
    return total


def naive_cckd(student, teacher, order, gamma):
    rows, total = len(student), 0.0
    for i in range(rows):
        for j in range(rows):
            ours = naive_kernel(student[i], student[j], order, gamma)
            total += (ours - naive_kernel(teacher[i], teacher[j], order, gamma)) ** 2
    return total / rows**2


@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
def test_it_is_the_mean_squared_gap_of_two_kernels(order):
    student, teacher = unit_rows(5), unit_rows(5, seed=1)
    expected = naive_cckd(student.tolist(), teacher.tolist(), order, 0.4)
    assert float(cckd(student, teacher, order=order, gamma=0.4)) == pytest.approx(expected, rel=1e-12)


def test_the_second_order_is_not_linear_in_the_cosine():
    rows = unit_rows(4)
    quadratic = kernel(rows, order=2, gamma=0.4) - kernel(rows, order=1, gamma=0.4)
    assert_close(quadratic, math.exp(-0.8) * 0.8**2 / 2 * (rows @ rows.T) ** 2)


def test_high_orders_are_the_gaussian_kernel():
    rows = unit_rows(4)
    assert_close(kernel(rows, order=20, gamma=0.4), torch.exp(-0.4 * torch.cdist(rows, rows).square()))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_it_has_the_slopes_of_its_values(order):
    teacher = unit_rows(4, seed=1)
    assert gradcheck(lambda rows: cckd(rows, teacher, order=order, gamma=0.4), unit_rows(4).requires_grad_())


def test_no_gradient_reaches_the_teacher():
    teacher = unit_rows(3, seed=1).requires_grad_()
    cckd(unit_rows(3).requires_grad_(), teacher, order=2, gamma=0.4).backward()
    assert teacher.grad is None


def test_a_rotation_of_the_student_changes_nothing():
    rows, teacher, loss = unit_rows(5), unit_rows(5, seed=1), Cckd(setting())
    assert_close(loss(step(rows @ rotation(), teacher)), loss(step(rows, teacher)))
    assert not Cckd.anchored


def test_the_student_that_is_its_teacher_rotated_has_nothing_to_learn():
    rows = unit_rows(5)
    assert float(Cckd(setting())(step(rows @ rotation(), rows))) == pytest.approx(0, abs=1e-24)


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_teach_nothing(rows):
    value, gradient = slope(Cckd(setting()), step(unit_rows(rows), unit_rows(rows, seed=1)))
    assert value == pytest.approx(0, abs=1e-24)
    assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)


def test_rows_without_a_teacher_do_not_count():
    student, teacher = unit_rows(5), unit_rows(5, seed=1)
    teacher[2] = torch.nan
    taught = [0, 1, 3, 4]
    value, gradient = slope(Cckd(setting(), order=3, gamma=0.5), step(student, teacher))
    assert value == pytest.approx(naive_cckd(student[taught].tolist(), teacher[taught].tolist(), 3, 0.5))
    assert_close(gradient[2], torch.zeros(4, dtype=torch.float64))


def test_the_largest_knobs_give_numbers_and_larger_ones_are_refused():
    assert kernel(unit_rows(3), order=100, gamma=100.0).isfinite().all()
    for knobs in ({"order": 101}, {"order": 0}, {"order": 10**400}, {"gamma": 101.0}, {"gamma": 0.0}):
        with pytest.raises(KnobRefused):
            Cckd(setting(), **knobs)
