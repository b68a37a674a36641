"""Each loss against an independent formula, and by its slopes."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.errors import UnknownName
from kd.head import unit
from kd.losses import parse_method
from kd.losses.cosine import cosine
from kd.losses.proxyless import proxyless
from kd.margins import Margin, cosface_logits

MARGIN = Margin(size=0.2, scale=4.0)


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_cosine_is_half_the_squared_distance_of_unit_rows(rows):
    student, teacher = torch.nn.functional.normalize(rows[:2]), torch.nn.functional.normalize(rows[2:])
    assert_close(cosine(student, teacher), ((student - teacher) ** 2).sum(dim=1).mean() / 2)


def test_no_gradient_reaches_the_teacher(rows):
    student, teacher = rows[:2].clone().requires_grad_(), rows[2:].clone().requires_grad_()
    cosine(student, teacher).backward()
    assert student.grad is not None
    assert teacher.grad is None


def naive_proxyless(cosines, labels):
    losses = []
    for row, label in zip(cosines.tolist(), labels.tolist(), strict=True):
        if label >= 0:
            logits = [MARGIN.scale * (c - MARGIN.size * (j == label)) for j, c in enumerate(row)]
            losses.append(math.log(sum(map(math.exp, logits))) - logits[label])
    return sum(losses) / len(losses)


def test_proxyless_is_cross_entropy_over_the_margin_logits(rows):
    labels = torch.tensor([0, 2, -1, 1])
    value = proxyless(rows, labels, cosface_logits, MARGIN)
    assert float(value) == pytest.approx(naive_proxyless(rows, labels))


def test_proxyless_has_the_slopes_of_its_values(rows):
    labels = torch.tensor([0, 2, -1, 1])
    assert gradcheck(lambda c: proxyless(c, labels, cosface_logits, MARGIN), rows.requires_grad_())


def test_a_batch_without_labels_moves_nothing(rows):
    rows.requires_grad_()
    proxyless(rows, torch.full((4,), -1), cosface_logits, MARGIN).backward()
    assert_close(rows.grad, torch.zeros_like(rows))


def test_unit_rows_are_float32_whatever_came_in():
    assert unit(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("proxyless", {"proxyless": 1.0}),
        ("proxyless+cosine", {"proxyless": 1.0, "cosine": 1.0}),
        ("0.3*proxyless + 2*cosine", {"proxyless": 0.3, "cosine": 2.0}),
    ],
)
def test_methods_are_joined_by_plus_and_weighed_by_star(text, weights):
    assert parse_method(text) == weights


@pytest.mark.parametrize("text", ["arcdistill", "proxyless+", "x*cosine"])
def test_what_is_no_method_is_refused(text):
    with pytest.raises(UnknownName):
        parse_method(text)
