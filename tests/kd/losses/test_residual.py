"""`residual`: a base, and an assistant that learns what the base lacks."""

import dataclasses

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.errors import UnknownName
from kd.losses.residual import Residual, residual
from tests.kd.losses.parts import FLOOR, setting, step, student_rows, unit_rows


def naive(base, assistant, target):
    total = 0.0
    for b, a, t in zip(base.tolist(), assistant.tolist(), target.tolist(), strict=True):
        total += (b - t) ** 2 + ((t - b) - a) ** 2
    return total


def test_the_base_learns_the_teacher_and_the_assistant_what_is_missing():
    base, assistant, theirs = student_rows(3), student_rows(3, seed=2), unit_rows(3, seed=1)
    expected = [naive(*rows) for rows in zip(base, assistant, theirs, strict=True)]
    assert residual(base, assistant, theirs).tolist() == pytest.approx(expected)


def test_each_half_has_the_slopes_of_its_own_term():
    base, assistant, theirs = student_rows(3), student_rows(3, seed=2), unit_rows(3, seed=1)
    assert gradcheck(lambda half: residual(base, half, theirs), assistant.clone().requires_grad_())
    base.requires_grad_()
    residual(base, assistant, theirs).sum().backward()
    assert_close(base.grad, 2 * (base - theirs).detach())  # as if there were no assistant


def test_an_assistant_that_fills_the_gap_leaves_the_sum_at_the_teacher():
    base, theirs = student_rows(3), unit_rows(3, seed=1)
    assistant = (theirs - base).requires_grad_()
    residual(base, assistant, theirs).sum().backward()
    assert_close(assistant.grad, torch.zeros_like(base))


def test_the_loss_is_the_mean_of_the_answered_rows_in_the_width_of_the_cone():
    theirs = unit_rows(3, seed=1)
    theirs[1] = torch.nan
    batch = step(student_rows(3), [0, 1, -1], theirs)
    base, assistant = batch.halves
    expected = (naive(base[0], assistant[0], theirs[0]) + naive(base[2], assistant[2], theirs[2])) / 2
    assert float(Residual(setting())(batch)) == pytest.approx(expected / (1 - FLOOR))


def test_its_teacher_sees_sharply():
    assert Residual.sharp_teacher


def test_a_student_of_one_piece_is_refused():
    batch = dataclasses.replace(step(student_rows(1), [0], unit_rows(1)), halves=None)
    with pytest.raises(
        UnknownName, match=r"for students of two halves: 'residual'\. Choose a --backbone residual:NAME"
    ):
        Residual(setting())(batch)
