"""Five landmarks to a Crop."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from faces.align import ARCFACE_112, DLIB_CHIP_150, align, similarity

POINTS = np.array(ARCFACE_112.points)
finite = st.floats(-500, 500)


def turned(points, angle, scale, shift):
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return scale * points @ rotation.T + shift


def applied(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


class TestSimilarity:
    @given(st.floats(-3, 3), st.floats(0.01, 100), st.tuples(finite, finite))
    def test_a_turned_scaled_and_moved_face_is_put_back_exactly(self, angle, scale, shift):
        matrix = similarity(turned(POINTS, angle, scale, shift), POINTS)
        assert_allclose(applied(matrix, turned(POINTS, angle, scale, shift)), POINTS, atol=1e-6)

    @given(st.integers(0, 1000))
    def test_no_other_turn_scale_or_shift_is_nearer(self, seed):
        """Least squares, against the normal equations of the same four unknowns."""
        landmarks = np.random.default_rng(seed).uniform(0, 100, (5, 2))
        x, y, one, none = *landmarks.T, np.ones(5), np.zeros(5)
        equations = np.vstack([np.stack([x, -y, one, none], 1), np.stack([y, x, none, one], 1)])
        a, b, right, down = np.linalg.lstsq(equations, POINTS.T.ravel(), rcond=None)[0]
        assert_allclose(similarity(landmarks, POINTS), [[a, -b, right], [b, a, down]], atol=1e-8)

    def test_a_mirrored_face_is_not_mirrored_back(self):
        matrix = similarity(POINTS * [-1, 1], POINTS)
        assert np.linalg.det(matrix[:, :2]) >= 0

    def test_landmarks_that_coincide_go_to_the_centre(self):
        matrix = similarity(np.full((5, 2), 33.0), POINTS)
        assert_allclose(applied(matrix, np.array([[33.0, 33.0]])), [POINTS.mean(axis=0)])


class TestAlign:
    @pytest.mark.parametrize("recipe", [ARCFACE_112, DLIB_CHIP_150, ARCFACE_112.scaled(50, 70)], ids=lambda r: r.name)
    @pytest.mark.parametrize("scale", [0.3, 1.0, 1.9, 3.0, 7.5])
    def test_a_mark_on_each_landmark_lands_on_its_point_at_any_size(self, recipe, scale):
        """Large faces are averaged down first: that must move nothing."""
        landmarks = turned(np.array(recipe.points), 0.2, scale, (60, 40))
        side = int(landmarks.max() + 100)
        for landmark, point in zip(landmarks, recipe.points, strict=True):
            y, x = np.mgrid[:side, :side]
            blob = 255 * np.exp(-((x - landmark[0]) ** 2 + (y - landmark[1]) ** 2) / (2 * (4 * max(scale, 1)) ** 2))
            crop = align(np.repeat(blob.astype(np.uint8)[..., None], 3, axis=2), landmarks, recipe)[..., 0].astype(
                float
            )
            rows, columns = np.mgrid[: recipe.height, : recipe.width]
            near = np.hypot(columns - point[0], rows - point[1]) < 7
            centre = [(axis * crop * near).sum() / (crop * near).sum() for axis in (columns, rows)]
            assert_allclose(centre, point, atol=0.6)

    def test_upright_landmarks_at_the_points_themselves_change_nothing(self):
        image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
        assert (align(image, POINTS, ARCFACE_112) == image).all()

    def test_what_lies_outside_the_photo_is_black(self):
        crop = align(np.full((112, 112, 3), 255, dtype=np.uint8), POINTS - [56, 0], ARCFACE_112)
        assert (crop[:, :55] == 0).all()
        assert (crop[:, 57:] == 255).all()

    def test_a_large_face_is_averaged_and_not_sampled(self):
        stripes = np.zeros((900, 900, 3), dtype=np.uint8)
        stripes[:, ::2] = 255
        crop = align(stripes, POINTS * 8, ARCFACE_112)
        assert np.abs(crop[5:-5, 5:-5].astype(int) - 127).max() <= 3

    @pytest.mark.parametrize("shape", [(1, 1), (1, 900), (3, 2)])
    @pytest.mark.parametrize("landmarks", [POINTS, POINTS * 100, POINTS * 0 + 5, POINTS - 1e5])
    def test_any_landmarks_in_any_photo_give_a_crop(self, shape, landmarks):
        crop = align(np.full((*shape, 3), 9, dtype=np.uint8), landmarks, ARCFACE_112)
        assert crop.shape == (112, 112, 3)
        assert crop.dtype == np.uint8

    def test_the_crop_is_that_of_opencv_with_the_same_matrix(self):
        image = np.random.default_rng(1).integers(0, 256, (200, 180, 3), dtype=np.uint8)
        landmarks = turned(POINTS, -0.1, 1.2, (20, 30))
        expected = cv2.warpAffine(image, similarity(landmarks, POINTS), (112, 112))
        assert (align(image, landmarks, ARCFACE_112) == expected).all()
