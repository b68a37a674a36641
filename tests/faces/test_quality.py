"""Reasons to doubt the picture of a face."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faces.align import ARCFACE_112
from faces.detect import Face
from faces.image import read_image
from faces.pipeline import principal_face
from faces.quality import Quality, assess, eye_distance, roll, sharpness, yaw

FRONTAL = np.array(ARCFACE_112.points)


def turned(points, degrees, scale=1.0, shift=(0.0, 0.0)):
    angle = math.radians(degrees)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre = points.mean(axis=0)
    return scale * ((points - centre) @ rotation.T + centre) + shift


def face_with(landmarks, score=0.999):
    return Face((0.0, 0.0, 112.0, 112.0), score, np.asarray(landmarks, dtype=np.float32))


def texture():
    """Large soft patches with a fine grain on them, as a face has."""
    noise = np.random.default_rng(0).standard_normal((112, 112))
    patches, grain = cv2.GaussianBlur(noise, (0, 0), 8), cv2.GaussianBlur(noise, (0, 0), 1)
    grey = 128 + 50 * patches / patches.std() + 15 * grain / grain.std()
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def half_profile(points, part):
    """The nose and the mouth moved towards one eye by a part of the eye distance, as a turned head shows them."""
    moved = points.copy()
    moved[2, 0] += part * (points[1, 0] - points[0, 0])
    return moved


class TestReasons:
    def test_a_sharp_large_upright_frontal_sure_face_is_ok(self):
        assert assess(texture(), face_with(FRONTAL)) == Quality(ok=True, reasons=())

    @pytest.mark.parametrize(
        ("landmarks", "score", "reason"),
        [
            (half_profile(FRONTAL, 0.5), 0.999, "profile"),
            (half_profile(FRONTAL, -0.5), 0.999, "profile"),
            (turned(FRONTAL, 45), 0.999, "tilted"),
            (turned(FRONTAL, -45), 0.999, "tilted"),
            (FRONTAL, 0.94, "uncertain_detection"),
        ],
    )
    def test_each_reason_by_itself(self, landmarks, score, reason):
        assert assess(texture(), face_with(landmarks, score)) == Quality(ok=False, reasons=(reason,))

    def test_a_sharp_face_of_few_pixels_is_small(self):
        grain = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        assert assess(grain, face_with(FRONTAL * 12.1 / 35.24)).reasons == ()
        assert assess(grain, face_with(FRONTAL * 11.9 / 35.24)).reasons == ("small",)

    @pytest.mark.parametrize("image", [cv2.GaussianBlur(texture(), (0, 0), 4), np.full((112, 112, 3), 90, np.uint8)])
    def test_a_blurred_or_plain_face(self, image):
        assert assess(image, face_with(FRONTAL)).reasons == ("blurred",)

    def test_all_that_holds_is_said_in_one_order(self):
        face = face_with(turned(half_profile(FRONTAL, 0.6), 60, scale=0.2), score=0.8)
        reasons = ("small", "blurred", "profile", "tilted", "uncertain_detection")
        assert assess(np.zeros((50, 50, 3), dtype=np.uint8), face) == Quality(ok=False, reasons=reasons)

    @given(st.lists(st.floats(-1e4, 1e4), min_size=10, max_size=10), st.sampled_from([(1, 1), (40, 60)]))
    def test_any_landmarks_in_any_photo_get_an_answer(self, numbers, shape):
        quality = assess(np.zeros((*shape, 3), dtype=np.uint8), face_with(np.reshape(numbers, (5, 2))))
        assert quality.ok == (not quality.reasons)

    def test_landmarks_that_coincide_are_no_face_to_trust(self):
        assert {"small", "profile"} <= set(assess(texture(), face_with(np.full((5, 2), 50))).reasons)


class TestMeasures:
    def test_the_eye_distance_is_in_pixels_of_the_photo(self):
        assert eye_distance(FRONTAL * 2) == pytest.approx(2 * math.hypot(73.5318 - 38.2946, 51.5014 - 51.6963))

    @given(st.floats(-180, 180), st.floats(0.1, 20), st.tuples(st.floats(-99, 99), st.floats(-99, 99)))
    def test_yaw_knows_no_tilt_size_or_place(self, degrees, scale, shift):
        face = half_profile(FRONTAL, 0.3)
        assert yaw(turned(face, degrees, scale, shift)) == pytest.approx(yaw(face), abs=1e-6)

    @pytest.mark.parametrize("part", [0.0, 0.2, 0.4, 1.0])
    def test_yaw_is_the_way_of_the_nose_in_eye_distances(self, part):
        straight = np.array([[0, 0], [10, 0], [5, 6], [2, 12], [8, 12]], dtype=float)
        assert yaw(half_profile(straight, part)) == pytest.approx(part)

    @pytest.mark.parametrize("degrees", [-170, -45, 0, 30, 90])
    def test_roll_is_the_tilt_to_either_side(self, degrees):
        level = np.array([[0, 0], [10, 0], [5, 6], [2, 12], [8, 12]], dtype=float)
        assert roll(turned(level, degrees)) == pytest.approx(abs(degrees), abs=1e-6)

    @pytest.mark.parametrize("dimming", [0.5, 0.25])
    def test_a_darker_photo_is_not_a_less_sharp_one(self, dimming):
        dark = (texture() * dimming).astype(np.uint8)
        assert sharpness(dark) == pytest.approx(sharpness(texture()), rel=0.1)

    def test_sharpness_falls_as_a_photo_is_blurred(self):
        values = [sharpness(cv2.GaussianBlur(texture(), (0, 0), sigma)) for sigma in (0.1, 1, 1.5, 2, 3)]
        assert values == sorted(values, reverse=True)

    def test_sharpness_against_its_formula(self):
        crop = texture()
        grey = np.round(crop.astype(float) @ [0.299, 0.587, 0.114])[8:104, 16:96]
        second = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
        assert sharpness(crop) == pytest.approx(second.var() / grey.var(), rel=1e-4)


@pytest.mark.real
class TestRealPhotos:
    def principal(self, detector, path):
        image = read_image(path.read_bytes())
        (found,) = detector.detect([image])
        return assess(image, found[principal_face(found, image)]) if found else None

    def test_nearly_all_press_photos_are_ok(self, shared: Path, detector):
        paths = sorted((shared / "data/lfw/dev").rglob("*.jpg"))[::12]
        answers = [self.principal(detector, path) for path in paths]
        assert sum(answer is not None and answer.ok for answer in answers) >= 0.97 * len(paths)

    def test_profiles_are_told_from_frontal_faces(self, shared: Path, detector):
        for kind, least, most in [("frontal", 0.0, 0.02), ("profile", 0.9, 1.0)]:
            paths = sorted((shared / "data/cfp/dev").glob(f"**/{kind}/*"))[::8]
            answers = [answer for path in paths if (answer := self.principal(detector, path))]
            assert len(answers) >= 0.9 * len(paths)
            assert least <= sum("profile" in answer.reasons for answer in answers) / len(answers) <= most
