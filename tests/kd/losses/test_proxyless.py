"""`proxyless`: the classifier of the teacher, frozen."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.head import FrozenHead
from kd.losses.proxyless import Proxyless
from tests.kd.losses.parts import MARGIN, cross_entropy, inherited, setting, step, student_rows

LABELS = [0, 2, -1, 1]


def naive(raw, margin):
    return sum(cross_entropy(raw[i], y, inherited().rows, margin=margin) for i, y in enumerate(LABELS) if y >= 0) / 3


def test_it_is_cross_entropy_over_the_margin_logits_of_the_labelled_rows():
    raw = student_rows(4)
    assert float(Proxyless(setting())(step(raw, LABELS))) == pytest.approx(naive(raw, MARGIN))


def test_the_margin_grows_with_the_ramp():
    raw = student_rows(4)
    value = Proxyless(setting())(step(raw, LABELS, ramp=0.25))
    assert float(value) == pytest.approx(naive(raw, MARGIN / 4))


def test_it_has_the_slopes_of_its_values():
    loss = Proxyless(setting())
    assert gradcheck(lambda raw: loss(step(raw, LABELS)), student_rows(4).requires_grad_())


def test_nothing_of_it_can_be_trained():
    assert list(Proxyless(setting(FrozenHead(inherited().rows))).parameters()) == []


def test_an_unlabelled_row_gets_no_slope():
    raw = student_rows(4).requires_grad_()
    Proxyless(setting())(step(raw, LABELS)).backward()
    assert_close(raw.grad[2], torch.zeros_like(raw.grad[2]))
    assert raw.grad[[0, 1, 3]].abs().sum(dim=1).min() > 0
