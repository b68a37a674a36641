"""`adadistill`: class centres of the teacher's embeddings, which move as the student learns."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.errors import KnobRefused
from kd.losses.adadistill import AdaDistill
from tests.kd.losses.parts import CLASSES, DIM, cosines, cross_entropy, setting, step, student_rows, unit_rows

LABELS = [3, 1, -1, 3]


@pytest.fixture(params=["weighted", "plain"])
def weighting(request):
    return request.param


@pytest.fixture
def loss(weighting):
    torch.manual_seed(0)
    built = AdaDistill(setting(), weighting=weighting).double()
    built.centres.table.copy_(unit_rows(CLASSES, DIM, seed=4) * 0.7)  # as after some steps
    return built


@pytest.fixture
def theirs():
    """Near the student, so that alpha is no matter of clipping."""
    return torch.nn.functional.normalize(student_rows(4) + 0.5 * student_rows(4, seed=1))


def naive_centres(table, raw, theirs, labels, weighting):
    """The three steps of the paper, face by face; of a class seen twice, the mean of both results."""
    moved = {}
    for vector, teacher, label in zip(raw, theirs, labels, strict=True):
        if label < 0:
            continue
        alpha = cosines(vector, teacher[None])[0]
        if weighting == "weighted":
            alpha *= min(max(cosines(teacher, table[label][None])[0], 1e-6), 1)
        alpha = min(max(alpha, 1e-6), 1)
        new = [alpha * k + (1 - alpha) * t for k, t in zip(table[label].tolist(), teacher.tolist(), strict=True)]
        moved.setdefault(label, []).append(new)
    rows = table.tolist()
    for label, proposals in moved.items():
        rows[label] = [math.fsum(column) / len(proposals) for column in zip(*proposals, strict=True)]
    return torch.tensor(rows, dtype=torch.float64)


def test_a_step_moves_the_centres_of_the_people_it_shows(loss, theirs, weighting):
    raw = student_rows(4)
    expected = naive_centres(loss.centres.table, raw, theirs, LABELS, weighting)
    before = loss.centres.table.clone()
    loss(step(raw, LABELS, theirs))
    assert_close(loss.centres.table, expected)
    assert_close(loss.centres.table[[0, 2, 4]], before[[0, 2, 4]])
    assert (loss.centres.table[[1, 3]] != before[[1, 3]]).all()


def test_the_loss_is_margin_softmax_over_the_centres_as_moved(loss, theirs, weighting):
    raw = student_rows(4)
    centres = naive_centres(loss.centres.table, raw, theirs, LABELS, weighting)
    rows = [cross_entropy(raw[i], label, centres) for i, label in enumerate(LABELS) if label >= 0]
    assert loss(step(raw, LABELS, theirs)).item() == pytest.approx(sum(rows) / len(rows))


def test_it_has_the_slopes_of_its_values(loss, theirs):
    """At centres that stay: how far they move is no part of the slope."""
    loss.centres.update = lambda *_: None
    assert gradcheck(lambda raw: loss(step(raw, LABELS, theirs)), student_rows(4).requires_grad_())


def test_the_order_of_a_batch_does_not_matter(loss, theirs):
    raw, before = student_rows(4), loss.centres.table.clone()
    loss(step(raw, LABELS, theirs))
    forwards = loss.centres.table.clone()
    loss.centres.table.copy_(before)
    loss(step(raw.flip(0), LABELS[::-1], theirs.flip(0)))
    assert_close(loss.centres.table, forwards)


def test_a_student_far_off_leaves_the_centre_at_its_teachers_embedding(loss, theirs):
    loss(step(-theirs, LABELS, theirs))
    assert_close(loss.centres.table[1], theirs[1], atol=1e-5, rtol=0)


def test_a_face_without_a_teacher_moves_nothing(loss, theirs):
    before = loss.centres.table.clone()
    theirs[1] = torch.nan
    loss(step(student_rows(4), LABELS, theirs))
    assert_close(loss.centres.table[1], before[1])
    assert torch.isfinite(loss.centres.table).all()


def test_the_centres_are_in_the_checkpoint_and_out_of_the_optimiser(loss):
    assert list(loss.state_dict()) == ["centres.table"]
    assert list(loss.parameters()) == []


def test_a_hard_face_moves_its_centre_further_if_weighted():
    raw, theirs = student_rows(1), torch.nn.functional.normalize(student_rows(1) + 0.3 * student_rows(1, seed=1))
    moves = {}
    for weighting in ("plain", "weighted"):
        loss = AdaDistill(setting(), weighting=weighting).double()
        loss.centres.table[0] = torch.nn.functional.normalize(theirs[0] + unit_rows(1, seed=6)[0], dim=0)
        before = loss.centres.table[0].clone()
        loss(step(raw, [0], theirs))
        moves[weighting] = (loss.centres.table[0] - before).norm()
    assert moves["weighted"] > moves["plain"] > 0


def test_there_are_two_weightings():
    with pytest.raises(KnobRefused, match=r"not a value for weighting: 'x'\. Choose from plain, weighted\."):
        AdaDistill(setting(), weighting="x")
