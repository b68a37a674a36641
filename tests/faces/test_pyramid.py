"""The pyramid: the means that torch would take, and every window of every level on some canvas."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from faces.pyramid import CANVAS, STRIDE, WINDOW, Photo, draw, edges, lay_out, scales
from faces.weights.mtcnn import VOID


def photo_of(height, width, seed=0):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, Photo(image)


def naive_pool(image, height, width):
    """Adaptive average pooling by its definition (torch, `AdaptiveAvgPool2d`)."""
    pooled = np.empty((height, width, 3))
    for i in range(height):
        for j in range(width):
            rows = slice(i * image.shape[0] // height, math.ceil((i + 1) * image.shape[0] / height))
            columns = slice(j * image.shape[1] // width, math.ceil((j + 1) * image.shape[1] / width))
            pooled[i, j] = image[rows, columns].mean(axis=(0, 1))
    return pooled


def whole(length, count):
    low, high = edges(np.array([0]), np.array([length]), count)
    return low[0], high[0]


class TestMeans:
    @given(*[st.integers(1, 20)] * 4)
    def test_a_photo_is_scaled_as_adaptive_average_pooling_scales_it(self, height, width, rows, columns):
        image, photo = photo_of(height, width)
        scaled = photo.means(*whole(height, rows), *whole(width, columns))
        assert scaled.dtype == np.float32
        assert_allclose(scaled, naive_pool(image, rows, columns), rtol=1e-6)

    def test_many_parts_of_a_photo_at_once(self):
        image, photo = photo_of(30, 40)
        top, left, height, width = (
            np.array([0, 3, 29]),
            np.array([5, 0, 39]),
            np.array([30, 7, 1]),
            np.array([8, 40, 1]),
        )
        parts = photo.means(*edges(top, height, 6), *edges(left, width, 6))
        for part, y, x, h, w in zip(parts, top, left, height, width, strict=True):
            assert_allclose(part, naive_pool(image[y : y + h, x : x + w], 6, 6), rtol=1e-6)

    def test_a_photo_so_bright_and_large_that_sums_wrap_around(self):
        white = Photo(np.full((3000, 3000, 3), 255, dtype=np.uint8))  # 2.3e9 in the last corner, over 2^31
        assert_allclose(white.means(*whole(3000, 13), *whole(3000, 13)), 255, rtol=1e-6)

    def test_a_view_with_steps_backwards(self):
        image, _ = photo_of(5, 6)
        mirrored = image[:, ::-1]
        assert_allclose(Photo(mirrored).means(*whole(5, 5), *whole(6, 6)), mirrored)


class TestScales:
    def test_the_first_takes_the_smallest_face_to_the_window_and_the_last_still_holds_one(self):
        found = scales(250, 400, 20)
        assert found[0] == pytest.approx(12 / 20)
        assert_allclose(np.divide(found[1:], found[:-1]), 0.709)
        assert 250 * found[-1] >= 12 > 250 * found[-1] * 0.709

    @pytest.mark.parametrize(("height", "width", "count"), [(0, 0, 0), (1, 9000, 0), (19, 500, 0), (20, 20, 1)])
    def test_a_side_shorter_than_the_smallest_face_has_none(self, height, width, count):
        assert len(scales(height, width, 20)) == count


shapes = st.tuples(st.integers(12, 900), st.integers(12, 900))


class TestLayout:
    @settings(max_examples=40)
    @given(shapes, st.sampled_from([12, 20, 31]))
    def test_every_window_of_every_level_lies_on_a_canvas_whole(self, shape, min_face):
        covered = {}
        for piece in (piece for pieces in lay_out(*shape, min_face) for piece in pieces):
            rows, columns = (math.ceil((side - 2) / STRIDE) - 4 for side in piece.level)  # as P-Net counts its cells
            cells = covered.setdefault(piece.scale, np.zeros((rows, columns), dtype=int))
            y, x = (start // STRIDE for start in piece.source)
            height, width = ((size - WINDOW) // STRIDE + 1 for size in piece.size)
            cells[y : y + height, x : x + width] += 1
            assert (y + height, x + width) <= (rows, columns)
        assert sorted(covered) == sorted(scales(*shape, min_face))
        assert all((cells == 1).all() for cells in covered.values())

    @settings(max_examples=40)
    @given(shapes)
    def test_pieces_lie_on_the_canvas_at_even_places_and_do_not_touch_one_another(self, shape):
        for pieces in lay_out(*shape, 20):
            taken = np.zeros(CANVAS, dtype=int)
            for piece in pieces:
                (y, x), (height, width) = piece.target, piece.size
                assert y + height <= CANVAS[0]
                assert x + width <= CANVAS[1]
                assert [side % STRIDE for side in (*piece.target, *piece.source, *piece.size)] == [0] * 6
                taken[y : y + height, x : x + width] += 1
            assert taken.max() == 1

    def test_the_pyramid_of_a_small_photo_fits_on_one_canvas(self):
        assert len(lay_out(250, 250, 20)) == 1

    def test_a_photo_too_small_for_a_face_needs_no_canvas(self):
        assert lay_out(19, 19, 20) == []

    def test_what_is_drawn_is_the_level_and_the_rest_is_void(self):
        image, photo = photo_of(25, 33)
        (pieces,) = lay_out(25, 33, 20)
        canvas = np.full((*CANVAS, 4), 7, dtype=np.float32)
        draw(photo, pieces, canvas)
        left = canvas[..., 3].copy()
        for piece in pieces:
            (y, x), (height, width) = piece.target, piece.level
            assert_allclose(canvas[y : y + height, x : x + width, :3], naive_pool(image, height, width), rtol=1e-6)
            assert (left[y : y + height, x : x + width] == 0).all()
            left[y : y + height, x : x + width] = VOID
        assert (left == VOID).all()
