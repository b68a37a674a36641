"""RKD against its formulas, pair by pair and triangle by triangle, and in every flat corner."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.losses.rkd import Rkd, angle_gap, distance_gap
from tests.kd.losses.relational import rotation, setting, slope, step, unit_rows


def smooth_l1(x, y):
    gap = abs(x - y)
    return gap**2 / 2 if gap < 1 else gap - 0.5


def minus(x, y):
    return [a - b for a, b in zip(x, y, strict=True)]


def dot(x, y):
    return sum(a * b for a, b in zip(x, y, strict=True))


def naive_distances(student, teacher):
    pairs = [(i, j) for i in range(len(student)) for j in range(len(student)) if i != j]

    def relative(rows):
        lengths = [math.sqrt(dot(minus(rows[i], rows[j]), minus(rows[i], rows[j]))) for i, j in pairs]
        return [length / (sum(lengths) / len(lengths)) for length in lengths]

    return sum(map(smooth_l1, relative(student), relative(teacher))) / len(pairs)


def naive_angles(student, teacher):
    def cosine(rows, i, j, k):
        a, b = minus(rows[i], rows[j]), minus(rows[k], rows[j])
        return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))

    n = range(len(student))
    triangles = [(i, j, k) for i in n for j in n for k in n if len({i, j, k}) == 3]
    return sum(smooth_l1(cosine(student, *t), cosine(teacher, *t)) for t in triangles) / len(triangles)


@pytest.mark.parametrize("rows", [2, 3, 6])
def test_distances_are_compared_relative_to_their_mean(rows):
    student, teacher = unit_rows(rows), unit_rows(rows, seed=1)
    expected = naive_distances(student.tolist(), teacher.tolist())
    assert float(distance_gap(student, teacher)) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("rows", [3, 6, 19])
def test_angles_are_compared_at_every_vertex_of_every_triangle(rows):
    student, teacher = unit_rows(rows), unit_rows(rows, seed=1)
    expected = naive_angles(student.tolist(), teacher.tolist())
    assert float(angle_gap(student, teacher)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gap", [distance_gap, angle_gap])
def test_both_have_the_slopes_of_their_values(gap):
    teacher = unit_rows(5, seed=1)
    assert gradcheck(lambda rows: gap(rows, teacher), unit_rows(5).requires_grad_())


def test_the_method_weighs_the_two():
    student, teacher = unit_rows(5), unit_rows(5, seed=1)
    expected = distance_gap(student, teacher) + 2 * angle_gap(student, teacher)
    assert_close(Rkd(setting())(step(student, teacher)), expected)
    only_angles = Rkd(setting(), distance=0.0, angle=1.0)
    assert_close(only_angles(step(student, teacher)), angle_gap(student, teacher))


def test_a_rotation_of_the_student_changes_nothing():
    rows, teacher, loss = unit_rows(6), unit_rows(6, seed=1), Rkd(setting())
    assert_close(loss(step(rows @ rotation(), teacher)), loss(step(rows, teacher)))
    assert not Rkd.anchored


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_fewer_than_three_rows_have_no_angle_and_one_has_no_distance(rows):
    value, gradient = slope(Rkd(setting()), step(unit_rows(rows), unit_rows(rows, seed=1)))
    assert value == pytest.approx(0, abs=1e-24)
    assert_close(gradient, torch.zeros_like(gradient))


def test_two_equal_rows_of_the_student_have_a_finite_slope():
    student, teacher = unit_rows(5), unit_rows(5, seed=1)
    student[1] = student[0]
    value, gradient = slope(Rkd(setting()), step(student, teacher))
    assert value > 0
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 10


def test_a_triangle_with_two_equal_rows_does_not_count():
    student, teacher = unit_rows(4), unit_rows(4, seed=1)
    teacher[3] = teacher[0]
    triangles = ([0, 1, 2], [1, 2, 3])  # those without both of the equal rows; at each, the angles of three vertices
    whole = [naive_angles(student[t].tolist(), teacher[t].tolist()) for t in triangles]
    open_at_one_end = [(0, 1, 3), (3, 1, 0), (0, 2, 3), (3, 2, 0)]  # the equal rows seen from a third: an angle of zero

    def cosine(rows, i, j, k):
        return torch.cosine_similarity(rows[i] - rows[j], rows[k] - rows[j], dim=0)

    flat = [smooth_l1(float(cosine(student, *t)), float(cosine(teacher, *t))) for t in open_at_one_end]
    assert float(angle_gap(student, teacher)) == pytest.approx((6 * sum(whole) + sum(flat)) / 16)


def test_a_student_in_one_point_learns_nothing_and_breaks_nothing():
    student = unit_rows(1).repeat(4, 1)
    value, gradient = slope(Rkd(setting()), step(student, unit_rows(4, seed=1)))
    assert value == 0
    assert_close(gradient, torch.zeros_like(gradient))


def test_rows_without_a_teacher_do_not_count():
    student, teacher, taught = unit_rows(5), unit_rows(5, seed=1), [0, 1, 3, 4]
    teacher[2] = torch.nan
    loss = Rkd(setting())
    value, gradient = slope(loss, step(student, teacher))
    assert value == pytest.approx(float(loss(step(student[taught], teacher[taught]))))
    assert_close(gradient[2], torch.zeros(4, dtype=torch.float64))


def test_angles_of_a_large_batch_are_never_all_in_memory():
    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            answer = function(*args, **(kwargs or {}))
            if isinstance(answer, torch.Tensor):
                self.largest = max(self.largest, answer.numel())
            return answer

    rows = unit_rows(96).requires_grad_()
    with Watch() as watch:
        angle_gap(rows, unit_rows(96, seed=1)).backward()
    assert watch.largest <= 16 * 96 * 96 < 96**3
