"""`none`: a classifier of one's own, and no teacher."""

import pytest
import torch
from torch.testing import assert_close

from kd.losses.none import Own
from kd.losses.step import Setting
from kd.margins import CosFace
from tests.kd.losses.parts import DIM, MARGIN, SCALE, cross_entropy, setting, step, student_rows


@pytest.fixture
def alone():
    """What a teacher is trained in: nobody to inherit from."""
    return Setting(None, DIM, torch.ones(3, dtype=torch.int64), SCALE, lambda: CosFace(MARGIN))


def test_it_is_margin_softmax_over_its_own_classifier(alone):
    loss, raw = Own(alone).double(), student_rows(4)
    (weights,) = (rows.detach() for rows in loss.parameters())
    rows = [cross_entropy(raw[i], label, weights, floor=0.0) for i, label in ((0, 2), (1, 0), (3, 1))]
    assert loss(step(raw, [2, 0, -1, 1])).item() == pytest.approx(sum(rows) / 3)


def test_the_classifier_learns(alone):
    torch.manual_seed(0)
    loss = Own(alone).double()
    (weights,) = loss.parameters()
    before = weights.detach().clone()
    optimizer, values = torch.optim.SGD(loss.parameters(), lr=0.003), []  # small beside a row's length
    for _ in range(100):
        optimizer.zero_grad()
        value = loss(step(student_rows(3), [0, 1, 2]))
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]
    assert not torch.equal(weights, before)


def test_there_is_a_row_for_each_person(alone):
    (weights,) = Own(alone).parameters()
    assert weights.shape == (3, DIM)


def test_a_student_turned_with_its_classifier_has_learnt_as_much():
    """So it cannot be in its teacher's space, but by accident."""
    loss, raw = Own(setting()).double(), student_rows(3)
    before = loss(step(raw, [0, 1, 2]))
    with torch.no_grad():
        (weights,) = loss.parameters()
        weights.copy_(weights.flip(1))
    assert_close(loss(step(raw.flip(1), [0, 1, 2])), before)
    assert not Own.anchored
