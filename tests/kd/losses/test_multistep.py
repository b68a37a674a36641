"""PocketNet's regression onto the teacher of the epoch."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.losses.multistep import Multistep, squared_error
from tests.kd.losses.relational import rotation, setting, slope, step, unit_rows


def naive_mean_squared_error(student, teacher):
    gaps = [(a - b) ** 2 for x, y in zip(student, teacher, strict=True) for a, b in zip(x, y, strict=True)]
    return sum(gaps) / len(gaps)


def test_it_is_a_hundred_times_the_mean_squared_error():
    student, teacher = unit_rows(5), unit_rows(5, seed=1)
    expected = 100 * naive_mean_squared_error(student.tolist(), teacher.tolist())
    assert float(Multistep(setting())(step(student, teacher))) == pytest.approx(expected)


def test_two_unrelated_faces_of_128_dimensions_cost_what_the_paper_logs():
    east, north = torch.zeros(1, 128), torch.zeros(1, 128)
    east[0, 0] = north[0, 1] = 1
    assert float(Multistep(setting(dim=128))(step(east, north))) == pytest.approx(1.5625)


def test_it_has_the_slopes_of_its_values():
    teacher = unit_rows(3, seed=1)
    assert gradcheck(lambda rows: squared_error(rows, teacher), unit_rows(3).requires_grad_())


def test_a_rotation_of_the_student_changes_it():
    rows, loss = unit_rows(5), Multistep(setting())
    assert float(loss(step(rows, rows))) == 0
    assert float(loss(step(rows @ rotation(), rows))) > 1
    assert Multistep.anchored


def test_rows_without_a_teacher_do_not_count():
    student, teacher = unit_rows(3), unit_rows(3, seed=1)
    teacher[1] = torch.nan
    value, gradient = slope(Multistep(setting(), weight=1.0), step(student, teacher))
    assert value == pytest.approx(naive_mean_squared_error(student[[0, 2]].tolist(), teacher[[0, 2]].tolist()))
    assert_close(gradient[1], torch.zeros(4, dtype=torch.float64))


def test_a_batch_without_a_teacher_moves_nothing():
    value, gradient = slope(Multistep(setting()), step(unit_rows(2), torch.full((2, 4), torch.nan)))
    assert value == 0
    assert_close(gradient, torch.zeros(2, 4, dtype=torch.float64))
