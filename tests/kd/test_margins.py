"""Margins against the formulas as loops, in float64: values and slopes."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.errors import UnknownName
from kd.margins import MARGINS, Margin, arcface_logits, cosface_logits, margin_named

MARGIN = Margin(size=0.5, scale=8.0)
LABELS = torch.tensor([2, 0, 1])


@pytest.fixture
def cosines() -> torch.Tensor:
    return torch.tensor(
        [[0.1, -0.4, 0.7], [-0.95, 0.2, 0.3], [0.5, 0.999, -0.2]], dtype=torch.float64, requires_grad=True
    )


def naive(cosines, labels, margin, target):
    """Row by row, as the papers print it."""
    logits = []
    for row, label in zip(cosines.tolist(), labels.tolist(), strict=True):
        logits.append([margin.scale * (target(c, margin.size) if j == label else c) for j, c in enumerate(row)])
    return torch.tensor(logits, dtype=torch.float64)


def arcface_target(cosine, size):
    theta = math.acos(cosine)
    return math.cos(theta + size) if theta + size <= math.pi else cosine - size * math.sin(size)


def test_arcface_is_its_formula(cosines):
    assert_close(arcface_logits(cosines, LABELS, MARGIN), naive(cosines, LABELS, MARGIN, arcface_target))


def test_cosface_is_its_formula(cosines):
    assert_close(cosface_logits(cosines, LABELS, MARGIN), naive(cosines, LABELS, MARGIN, lambda c, m: c - m))


@pytest.mark.parametrize("logits", MARGINS.values(), ids=MARGINS)
def test_slopes_are_those_of_the_values(logits, cosines):
    assert gradcheck(lambda c: logits(c, LABELS, MARGIN), cosines)


@pytest.mark.parametrize("logits", MARGINS.values(), ids=MARGINS)
@pytest.mark.parametrize("edge", [-1.0, 1.0])
def test_the_ends_have_finite_slopes(logits, edge):
    cosines = torch.full((1, 2), edge, requires_grad=True)
    logits(cosines, torch.tensor([0]), MARGIN).sum().backward()
    assert torch.isfinite(cosines.grad).all()


@pytest.mark.parametrize("logits", MARGINS.values(), ids=MARGINS)
def test_a_nearer_face_never_scores_less(logits):
    cosines = torch.linspace(-3, 1, 401, dtype=torch.float64)[:, None]  # stretched cosines can lie below -1
    scores = logits(cosines, torch.zeros(401, dtype=torch.int64), MARGIN)
    assert (scores.diff(dim=0) > 0).all()


def test_an_unknown_margin_is_answered_with_the_names():
    with pytest.raises(UnknownName, match=r"no such margin: 'sphere'\. Choose from arcface, cosface\."):
        margin_named("sphere")
