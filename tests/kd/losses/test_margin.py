"""`margin`: MarginDistillation, a margin for each face by how clear it is to the teacher."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.errors import KnobRefused
from kd.losses.margin import MarginDistillation, margin_of
from tests.kd.losses.parts import SCALE, cosines, inherited, setting, step, student_rows

LABELS = [0, 2, -1, 1, 3]


@pytest.fixture
def theirs():
    """Unit rows near the class of each label, at growing distances, with one that the teacher takes for another."""
    rows = inherited().rows
    wide = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    near = rows[[0, 2, 4, 1, 3]] + torch.tensor([0.1, 0.3, 0.0, 0.5, 0.0])[:, None] * wide
    near[4] = -rows[3]
    return torch.nn.functional.normalize(near)


def naive(raw, theirs, labels, least, most, ramp=1.0):
    """The paper's formula, face by face, on stretched cosines."""
    rows = inherited().rows
    known = [i for i, label in enumerate(labels) if label >= 0]
    clarity = {i: cosines(theirs[i], rows)[labels[i]] for i in known}
    losses = []
    for i in known:
        size = ramp * (least + (most - least) * max(0.0, clarity[i]) / max(clarity.values()))
        logits = [SCALE * c for c in cosines(raw[i], rows)]
        cosine = logits[labels[i]] / SCALE
        angle = math.acos(max(-1.0, cosine))
        turned = math.cos(angle + size) if cosine >= -math.cos(size) else cosine - size * math.sin(size)
        logits[labels[i]] = SCALE * turned
        losses.append(math.log(sum(map(math.exp, logits))) - logits[labels[i]])
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("least", "most"), [(0.2, 0.5), (0.0, 1.0)])
def test_it_is_arcface_with_a_margin_by_the_teachers_cosine(theirs, least, most):
    raw = student_rows(5)
    value = MarginDistillation(setting(), least=least, most=most)(step(raw, LABELS, theirs))
    assert value.item() == pytest.approx(naive(raw, theirs, LABELS, least, most))


def test_the_margin_grows_with_the_ramp(theirs):
    raw = student_rows(5)
    value = MarginDistillation(setting())(step(raw, LABELS, theirs, ramp=0.5))
    assert value.item() == pytest.approx(naive(raw, theirs, LABELS, 0.2, 0.5, ramp=0.5))


def test_it_has_the_slopes_of_its_values(theirs):
    loss = MarginDistillation(setting())
    assert gradcheck(lambda raw: loss(step(raw, LABELS, theirs)), student_rows(5).requires_grad_())


def test_the_clearest_face_has_the_largest_margin_and_a_strange_one_the_least():
    angles = margin_of(torch.tensor([0.8, 0.4, 0.0, -0.6]), torch.tensor(0.8), least=0.2, most=0.5)
    assert_close(angles, torch.tensor([0.5, 0.35, 0.2, 0.2]))


def test_where_the_teacher_knows_nobody_all_have_the_least_margin():
    angles = margin_of(torch.tensor([-0.1, -0.6]), torch.tensor(0.0), least=0.2, most=0.5)
    assert_close(angles, torch.tensor([0.2, 0.2]))


def test_a_face_without_a_teacher_does_not_count(theirs):
    raw, loss, seen = student_rows(5), MarginDistillation(setting()), [0, 2, 3, 4]
    unanswered = theirs.clone().index_fill_(0, torch.tensor([1]), torch.nan)
    alone = step(raw[seen], [LABELS[i] for i in seen], theirs[seen])
    assert_close(loss(step(raw, LABELS, unanswered)), loss(alone))


@pytest.mark.parametrize(
    "knobs", [{"least": -0.1}, {"least": 0.6}, {"most": 1.6}, {"most": math.nan}], ids=lambda knobs: str(knobs)
)
def test_margins_are_angles_in_order(knobs):
    with pytest.raises(KnobRefused, match=r"not a value for (least|most)"):
        MarginDistillation(setting(), **knobs)
