"""`bct`: a new classifier beside the inherited one."""

import pytest

from kd.errors import KnobRefused
from kd.losses.bct import Bct
from tests.kd.losses.parts import cross_entropy, inherited, setting, step, student_rows

LABELS = [0, -1, 3]


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_it_is_the_own_loss_and_weight_times_the_inherited_one(weight):
    loss, raw = Bct(setting(), weight=weight).double(), student_rows(3)
    (own,) = loss.parameters()
    new = [cross_entropy(raw[i], LABELS[i], own, floor=0.0) for i in (0, 2)]
    old = [cross_entropy(raw[i], LABELS[i], inherited().rows) for i in (0, 2)]
    assert loss(step(raw, LABELS)).item() == pytest.approx((sum(new) + weight * sum(old)) / 2)


def test_only_the_new_classifier_is_trained():
    loss = Bct(setting()).double()
    loss(step(student_rows(3), LABELS)).backward()
    (own,) = loss.parameters()
    assert own.grad.abs().sum() > 0


def test_the_two_margins_remember_apart():
    loss = Bct(setting())
    assert loss.new.margin is not loss.old.margin


def test_a_weight_is_not_negative():
    with pytest.raises(KnobRefused, match=r"not a value for weight: -1\. Give 0 or more\."):
        Bct(setting(), weight=-1)
