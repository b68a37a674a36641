"""What holds of all methods, present and to come."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from kd.losses import METHODS
from tests.kd.losses.parts import CLASSES, DIM, inherited, setting, step, student_rows, unit_rows
from tests.kd.losses.relational import rotation

LABELS = [0, 3, 1, 3, 2, 4, 0]
SECOND = [-1, -1, 2, -1, -1, -1, 4]
SHARE = [1.0, 1.0, 0.8, 1.0, 1.0, 1.0, 0.6]

every_method = pytest.mark.parametrize("name", METHODS)


def built(name, *, student=None, teacher=None, seed=0):
    """A method in two spaces, each turned: what it trains is in the student's, what it remembers in the teacher's."""
    torch.manual_seed(seed)
    loss = METHODS[name](setting(inherited(teacher))).double()
    with torch.no_grad():
        for rows, turn in [(loss.parameters(), student), (loss.buffers(), teacher)]:
            for table in (row for row in rows if turn is not None and row.shape == (CLASSES, DIM)):
                table.copy_(table @ turn)
    return loss


def batch(raw, theirs):
    return step(raw, LABELS, theirs, second=SECOND, share=SHARE)


def value(name, *, student=None, teacher=None):
    """The loss where the student's space and the teacher's are each turned by a rotation."""
    raw, theirs = student_rows(7), F.normalize(student_rows(7) + student_rows(7, seed=1))
    raw, theirs = raw if student is None else raw @ student, theirs if teacher is None else theirs @ teacher
    return built(name, student=student, teacher=teacher)(batch(raw, theirs)).detach()


@every_method
def test_a_rotation_of_both_spaces_changes_nothing(name):
    assert_close(value(name, student=rotation(), teacher=rotation()), value(name), rtol=1e-6, atol=1e-9)


@every_method
def test_a_rotation_of_the_student_alone_is_seen_by_the_anchored_methods_and_no_others(name):
    unseen = torch.isclose(value(name, student=rotation()), value(name), rtol=1e-6, atol=1e-9)
    assert METHODS[name].anchored is not bool(unseen)


@every_method
def test_those_that_ask_no_teacher_need_no_answers_and_the_others_say_so(name):
    loss, unasked = built(name), batch(student_rows(7), None)
    if METHODS[name].asks_teacher:
        with pytest.raises(TypeError, match="asks the teacher"):
            loss(unasked)
    else:
        assert torch.isfinite(loss(unasked))


@every_method
def test_a_loss_is_one_number_that_moves_the_student(name):
    raw = student_rows(7).requires_grad_()
    loss = built(name)(batch(raw, unit_rows(7, seed=1)))
    loss.backward()
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert torch.isfinite(raw.grad).all()
    assert raw.grad.abs().sum() > 0


@every_method
def test_a_batch_of_nobody_that_no_teacher_answers_teaches_nothing(name):
    raw = student_rows(3).requires_grad_()
    loss = built(name)(step(raw, [-1, -1, -1], torch.full((3, DIM), torch.nan, dtype=torch.float64)))
    loss.backward()
    assert loss.item() == 0
    assert_close(raw.grad, torch.zeros_like(raw))


@every_method
def test_what_is_remembered_is_in_the_checkpoint(name):
    first, second = (batch(student_rows(7, seed=seed), unit_rows(7, seed=seed + 1)) for seed in (5, 8))
    loss, resumed = built(name), built(name, seed=1)
    loss(first)
    resumed.load_state_dict(loss.state_dict())
    assert_close(resumed(second), loss(second), rtol=0, atol=0)
