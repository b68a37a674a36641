"""`logits`: the teacher's softmax over the inherited classifier."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.errors import KnobRefused
from kd.losses.logits import Logits
from tests.kd.losses.parts import SCALE, cosines, inherited, setting, step, student_rows, unit_rows


def softmax(numbers):
    exponentials = [math.exp(number) for number in numbers]
    return [value / sum(exponentials) for value in exponentials]


def naive(vector, target, rows, sharpness):
    """KL(teacher ‖ student) of one face, class by class."""
    theirs = softmax([sharpness * c for c in cosines(target, rows)])
    ours = softmax([sharpness * c for c in cosines(vector, rows)])
    return sum(p * math.log(p / q) for p, q in zip(theirs, ours, strict=True))


def test_the_teacher_itself_has_nothing_to_learn():
    theirs = unit_rows(3, seed=1)
    assert float(Logits(setting())(step(theirs, [0, 1, 2], theirs))) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_temperature_divides_the_scale_and_its_square_multiplies_the_loss(temperature):
    ours, theirs = student_rows(3), unit_rows(3, seed=1)
    rows = [naive(a, b, inherited().rows, SCALE / temperature) for a, b in zip(ours, theirs, strict=True)]
    value = Logits(setting(), temperature=temperature)(step(ours, [0, -1, 2], theirs))
    assert float(value) == pytest.approx(temperature**2 * sum(rows) / 3)


def test_it_has_the_slopes_of_its_values():
    loss, theirs = Logits(setting()), unit_rows(3, seed=1)
    assert gradcheck(lambda raw: loss(step(raw, [0, 1, 2], theirs)), student_rows(3).requires_grad_())


def test_no_gradient_reaches_the_teacher():
    theirs = unit_rows(2, seed=1).requires_grad_()
    Logits(setting())(step(student_rows(2).requires_grad_(), [0, 1], theirs)).backward()
    assert theirs.grad is None


def test_a_row_without_a_teacher_does_not_count():
    raw, theirs, loss = student_rows(3), unit_rows(3, seed=1), Logits(setting())
    unanswered = theirs.clone().index_fill_(0, torch.tensor([1]), torch.nan)
    assert_close(loss(step(raw, [0, 1, 2], unanswered)), loss(step(raw[[0, 2]], [0, 2], theirs[[0, 2]])))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_is_above_zero(temperature):
    with pytest.raises(KnobRefused, match="not a value for temperature"):
        Logits(setting(), temperature=temperature)
