"""Detection: any image, any batch, the reference's faces, and bounds on what a hostile image can cost."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

import faces.weights.mtcnn
from faces.boxes import over_union
from faces.detect import Detector, Face, open_detector
from faces.errors import WeightsMissing
from faces.image import read_image
from faces.pyramid import CANVAS


def assert_sound(found: list[Face], image: np.ndarray) -> None:
    for face in found:
        x_min, y_min, x_max, y_max = face.box
        assert 0 <= x_min < x_max <= image.shape[1]
        assert 0 <= y_min < y_max <= image.shape[0]
        assert 0.7 < face.score <= 1
        assert face.landmarks.shape == (5, 2)
        assert face.landmarks.dtype == np.float32
        assert np.isfinite(face.landmarks).all()
    assert [face.score for face in found] == sorted((face.score for face in found), reverse=True)


def assert_same(some: list[Face], others: list[Face]) -> None:
    assert [face.box for face in some] == [face.box for face in others]
    assert [face.score for face in some] == [face.score for face in others]
    assert_array_equal([face.landmarks for face in some], [face.landmarks for face in others])


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


class TestAnyImage:
    @settings(max_examples=60)
    @given(arrays(np.uint8, st.tuples(st.integers(0, 60), st.integers(0, 60), st.just(3))))
    def test_any_pixels_of_any_shape(self, detector, image):
        (found,) = detector.detect([image])
        assert_sound(found, image)

    @pytest.mark.parametrize("shape", [(0, 0), (1, 1), (1, 5000), (19, 500), (500, 19), (20, 20), (21, 3000)])
    def test_photos_shorter_than_a_face_or_very_long(self, detector, shape):
        assert_sound(detector.detect([noise(*shape)])[0], noise(*shape))

    @pytest.mark.parametrize("level", [0, 127, 255])
    def test_a_plain_photo_has_no_face(self, detector, level):
        assert detector.detect([np.full((100, 130, 3), level, dtype=np.uint8)]) == [[]]

    def test_views_and_read_only_pixels(self, detector):
        image = noise(80, 90)
        mirrored, copied = image[:, ::-1], np.ascontiguousarray(image[:, ::-1])
        copied.flags.writeable = False
        assert_same(*detector.detect([mirrored, copied]))

    def test_no_photos_have_no_answers(self, detector):
        assert detector.detect([]) == []


class TestBounds:
    @pytest.mark.parametrize("blur", [1, 2, 4])
    def test_noise_at_any_grain(self, detector, blur):
        image = np.kron(noise(400 // blur, 400 // blur), np.ones((blur, blur, 1), dtype=np.uint8))
        assert_sound(detector.detect([image])[0], image)

    def test_a_photo_in_which_every_window_is_a_face_costs_no_more_than_8192_looks(self):
        """Networks that say yes to everything, and move no box."""
        rnet, onet = Yes((16, 1), (16, 4)), Yes((4, 1), (4, 4), (4, 10))
        pnet = Yes((1, 1, CANVAS[0] // 2 - 5, CANVAS[1] // 2 - 5), (1, 4, CANVAS[0] // 2 - 5, CANVAS[1] // 2 - 5))
        (found,) = Detector(pnet, rnet, onet, min_face=12).detect([np.zeros((700, 700, 3), dtype=np.uint8)])
        assert rnet.runs == 8192 / 16
        assert 0 < len(found) <= 8192


class Yes:
    """A network that answers 1 in its first output and 0 in the others."""

    name = "yes"

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        self._answer = [np.full(shape, not i, dtype=np.float32) for i, shape in enumerate(shapes)]
        self.inputs: dict[str, tuple[int | None, ...]] = {"pixels": (shapes[0][0], None, None, None)}
        self.runs = 0

    def run(self, batch: np.ndarray) -> list[np.ndarray]:
        assert batch.dtype == np.float32
        self.runs += 1
        return self._answer


class TestOpening:
    def test_weights_that_are_not_installed_are_an_error_with_the_command_that_installs_them(self, monkeypatch):
        monkeypatch.setattr(faces.weights.mtcnn, "_PACKAGE", "facenet-pytorch-of-nobody")
        with pytest.raises(WeightsMissing, match=r"Run: pip install --no-deps facenet-pytorch==2\.6\.0$"):
            open_detector()

    @pytest.mark.parametrize("min_face", [0, -20])
    def test_a_smallest_face_without_pixels_is_an_error(self, min_face):
        with pytest.raises(ValueError, match="min_face"):
            open_detector(min_face=min_face)


@pytest.fixture(scope="module")
def portrait(shared: Path) -> np.ndarray:
    return read_image((shared / "data/scenes/two_people.jpg").read_bytes())


@pytest.mark.real
class TestRealPhotos:
    def test_every_face_of_the_reference_is_found_and_no_other_that_is_sure(self, shared, detector):
        """facenet-pytorch 2.6.0 on the same photos. Its boxes are not clipped to the photo: they are, here."""
        reference = json.loads((shared / "reference/mtcnn.json").read_text())
        wrong = []
        for name, expected in reference.items():
            image = read_image((shared / "data" / name).read_bytes())
            (found,) = detector.detect([image])
            assert_sound(found, image)
            wrong += [f"{name}: {what}" for what in differences(found, expected, image)]
        assert sum(face["score"] >= 0.95 for expected in reference.values() for face in expected) > 500
        assert wrong == []

    def test_a_batch_of_differing_sizes_is_as_one_photo_after_the_other(self, detector, portrait):
        images = [portrait, portrait[:300], noise(30, 40), portrait[:, :500], portrait[:10]]
        for together, image in zip(detector.detect(images), images, strict=True):
            assert_same(together, detector.detect([image])[0])

    def test_several_threads_at_once_get_their_own_faces(self, detector, portrait):
        images = [portrait[:, start:] for start in range(0, 400, 100)] * 2
        alone = detector.detect(images)
        with ThreadPoolExecutor(4) as pool:
            for together, expected in zip(
                pool.map(lambda image: detector.detect([image])[0], images), alone, strict=True
            ):
                assert_same(together, expected)

    @pytest.mark.parametrize("part", [0.1, 0.2])
    def test_a_face_cut_by_the_border_is_found_and_clipped(self, detector, portrait, part):
        x_min, y_min, x_max, y_max = detector.detect([portrait])[0][0].box
        cut = int(x_min + part * (x_max - x_min))
        visible = np.array([[0, y_min, x_max - cut, y_max]], dtype=np.float32)
        found = np.array([face.box for face in detector.detect([portrait[:, cut:]])[0]], dtype=np.float32)
        assert over_union(visible, found).max() > 0.65
        assert found[over_union(visible, found).argmax(), 0] == 0

    def test_a_smallest_face_larger_than_the_faces_finds_none(self, portrait):
        assert open_detector(threads=1, min_face=400).detect([portrait]) == [[]]


def differences(found: list[Face], expected: list[dict], image: np.ndarray) -> list[str]:
    """Sure faces of the reference that are not found closely enough, and surer ones that it lacks."""
    limits = np.array([image.shape[1], image.shape[0]] * 2)
    theirs = np.array([np.clip(face["box"], 0, limits) for face in expected], dtype=np.float32).reshape(-1, 4)
    overlaps = over_union(theirs, np.array([face.box for face in found], dtype=np.float32).reshape(-1, 4))
    problems = []
    for face, row in zip(expected, overlaps, strict=True):
        if face["score"] < 0.95:
            continue
        if row.max(initial=0) < 0.9:
            problems.append(f"best overlap {row.max(initial=0):.3f} with {face['box']}")
            continue
        away = np.linalg.norm(found[int(row.argmax())].landmarks - np.array(face["landmarks"]), axis=1).max()
        width = face["box"][2] - face["box"][0]
        if away > 0.04 * width:
            problems.append(f"a landmark {away / width:.3f} box widths away from that of {face['box']}")
    for ours, best in zip(found, overlaps.max(axis=0, initial=0), strict=True):
        if ours.score >= 0.99 and best < 0.5:
            problems.append(f"the reference has no face at {ours.box}, score {ours.score:.4f}")
    return problems
