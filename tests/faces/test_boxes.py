"""Arithmetic on boxes, against the same in plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from faces import boxes as boxes_module
from faces.boxes import clipped, moved, over_smaller, over_union, squared, suppress


def boxes_of(*rows):
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def naive_shared(a, b, end):
    width = min(a[2], b[2]) - max(a[0], b[0]) + end
    height = min(a[3], b[3]) - max(a[1], b[1]) + end
    return max(width, 0) * max(height, 0)


def naive_area(a, end):
    return (a[2] - a[0] + end) * (a[3] - a[1] + end)


def naive_over_union(a, b):
    whole = naive_area(a, 0) + naive_area(b, 0) - naive_shared(a, b, 0)
    return naive_shared(a, b, 0) / whole if whole > 0 else 0


def naive_over_smaller(a, b):
    return naive_shared(a, b, 1) / min(naive_area(a, 1), naive_area(b, 1))


def naive_suppress(boxes, scores, limit, overlap):
    waiting = sorted(range(len(boxes)), key=lambda i: (-scores[i], naive_area(boxes[i], 0), -i))
    kept = []
    while waiting:
        best = waiting.pop(0)
        kept.append(best)
        waiting = [i for i in waiting if overlap(boxes[best], boxes[i]) <= limit]
    return kept


corners = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(0, 8)] * 2)
box = corners.map(lambda c: (c[0], c[1], c[0] + c[2], c[1] + c[3]))
scored_boxes = st.lists(st.tuples(box, st.sampled_from([0.7, 0.8, 0.9, 1.0])), max_size=24)


@pytest.mark.parametrize(("overlap", "naive"), [(over_union, naive_over_union), (over_smaller, naive_over_smaller)])
@given(st.lists(box, max_size=5), st.lists(box, max_size=5))
def test_overlaps_of_every_pair(overlap, naive, a, b):
    expected = np.array([[naive(one, other) for other in b] for one in a]).reshape(len(a), len(b))
    assert_allclose(overlap(boxes_of(*a), boxes_of(*b)), expected, atol=1e-6)


@pytest.mark.parametrize("block", [3, 256])
@pytest.mark.parametrize(("overlap", "naive"), [(over_union, naive_over_union), (over_smaller, naive_over_smaller)])
@given(scored=scored_boxes, limit=st.sampled_from([0.31, 0.5, 0.69]))
def test_suppression_is_the_greedy_one_whatever_the_block(overlap, naive, block, scored, limit):
    boxes, scores = boxes_of(*(b for b, _ in scored)), np.array([s for _, s in scored], dtype=np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes_module, "_BLOCK", block)
        kept = suppress(boxes, scores, limit, overlap)
    assert kept.tolist() == naive_suppress(boxes.tolist(), scores.tolist(), limit, naive)


def test_an_overlap_equal_to_the_limit_is_allowed():
    halves = boxes_of((0, 0, 2, 2), (0, 0, 2, 1))
    assert suppress(halves, np.array([1, 0.9], np.float32), 0.5).tolist() == [0, 1]


def test_of_equal_scores_the_smaller_box_stays():
    assert suppress(boxes_of((0, 0, 11, 10), (0, 0, 10, 10)), np.ones(2, np.float32), 0.5).tolist() == [1]


def test_each_side_moves_by_its_part_of_the_box():
    offsets = np.array([[0.1, -0.1, 0.5, 0]], dtype=np.float32)
    assert_allclose(moved(boxes_of((10, 20, 20, 40)), offsets, end_pixel=0), [[11, 18, 25, 40]])
    assert_allclose(moved(boxes_of((10, 20, 19, 39)), offsets, end_pixel=1), [[11, 18, 24, 39]])


def test_a_square_has_the_longer_side_and_the_same_centre():
    assert_allclose(squared(boxes_of((10, 20, 20, 40), (0, 0, 8, 2))), [[5, 20, 25, 40], [0, -3, 8, 5]])


def test_what_leaves_the_photo_is_cut_off():
    cut = clipped(boxes_of((-5, -5, 5, 5), (90, 40, 130, 60), (200, 200, 300, 300)), width=100, height=50)
    assert_array_equal(cut, [[0, 0, 5, 5], [90, 40, 100, 50], [100, 50, 100, 50]])


def test_no_boxes_at_all():
    none = boxes_of()
    assert suppress(none, np.empty(0, np.float32), 0.5).tolist() == []
    assert squared(none).shape == moved(none, none, end_pixel=1).shape == clipped(none, 9, 9).shape == (0, 4)
    assert not math.prod(over_union(none, none).shape)
