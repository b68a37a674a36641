"""Photos to embeddings: faces found once, probes shown at other resolutions."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from faces.align import ARCFACE_112
from kd.errors import ProtocolInvalid
from kd.evaluate.photos import embed_photos, photos_asked
from kd.evaluate.protocol import Protocol, Search, photo_templates
from tests.app.parts import BLACK, BLUE, GREEN, SquareDetector, photo


class CountingDetector(SquareDetector):
    def __init__(self):
        self.photos = 0

    def detect(self, images):
        self.photos += len(images)
        return super().detect(images)


class Looking:
    """An Embedder that remembers what it was shown, and answers with its mean colour."""

    def __init__(self, recipe=ARCFACE_112):
        self.card = SimpleNamespace(crop=recipe)
        self.shown = []

    def embed(self, crops):
        self.shown += list(crops)
        return crops.mean(axis=(1, 2)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "green.png").write_bytes(photo(GREEN))
    (tmp_path / "blue.png").write_bytes(photo(BLUE))
    (tmp_path / "nobody.png").write_bytes(photo(BLACK))
    (tmp_path / "torn.png").write_bytes(photo(GREEN)[:40])
    return tmp_path


def embed(asked, *embedders, detector=None, crops=()):
    return embed_photos(asked, crops, detector or SquareDetector(), embedders)


def test_a_photo_is_searched_once_for_all_models_and_resolutions(folder):
    detector = CountingDetector()
    asked = {str(folder / name): {None, 56, 14} for name in ("green.png", "blue.png")}
    found = embed(asked, Looking(), Looking(ARCFACE_112.scaled(64, 64)), detector=detector)
    assert detector.photos == 2
    assert {key: len(rows) for key, rows in found.rows.items()} == {(m, p): 2 for m in (0, 1) for p in (None, 56, 14)}


def test_a_photo_that_gives_no_face_is_left_out_with_the_reason(folder):
    found = embed({str(path): {None} for path in folder.iterdir()}, Looking())
    assert {path.rsplit("/", 1)[1] for path in found.rows[0, None]} == {"green.png", "blue.png"}
    reasons = {path.rsplit("/", 1)[1]: why for path, why in found.failed.items()}
    assert set(reasons) == {"nobody.png", "torn.png"}
    assert reasons["nobody.png"] == "no face found"


def test_a_photo_that_is_not_there_is_named_before_any_is_read(folder):
    detector = CountingDetector()
    with pytest.raises(ProtocolInvalid, match=r"is not there: '.*lost\.png'"):
        embed({str(folder / "green.png"): {None}, str(folder / "lost.png"): {None}}, Looking(), detector=detector)
    assert detector.photos == 0


def test_only_probes_are_shown_at_other_resolutions(tmp_path):
    templates, _ = photo_templates({"enrolled": "ada", "probe": "ada"}, tmp_path)
    protocol = Protocol("two", templates, (), (Search("", np.array([0]), np.array([1])),))
    asked = photos_asked([protocol, protocol], [28])
    assert asked == {str(tmp_path / "enrolled"): {None}, str(tmp_path / "probe"): {None, 28}}


def noise(side):
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("side", [112, 128])
def test_a_picture_of_a_crops_size_needs_no_detection(tmp_path, side):
    cv2.imwrite(str(tmp_path / "crop.png"), noise(side)[..., ::-1])
    detector, looking = CountingDetector(), Looking()
    embed({str(tmp_path / "crop.png"): {None}}, looking, detector=detector)
    rim = (side - 112) // 2
    assert detector.photos == 0
    assert np.array_equal(looking.shown[0], noise(side)[rim : rim + 112, rim : rim + 112])


def test_crops_that_are_no_files_are_taken_as_they_are():
    looking = Looking()
    embed({"set#0": {None}}, looking, crops=[{"set#0": noise(128)}])
    assert np.array_equal(looking.shown[0], noise(128)[8:120, 8:120])


def naive_half(crop):
    """Means of 2 × 2 pixels, then each output pixel between its nearest two means, along both axes in turn."""
    small = crop.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3)).round()
    for axis in (0, 1):
        places = (np.arange(128) + 0.5) / 2 - 0.5
        low = np.clip(np.floor(places), 0, 63).astype(int)
        high = np.clip(low + (places >= 0), 0, 63)
        share = np.clip(places - low, 0, 1).reshape(-1, *([1] * (2 - axis)))
        small = np.take(small, low, axis) * (1 - share) + np.take(small, high, axis) * share
    return small


def test_a_probe_of_56_pixels_is_averaged_down_and_interpolated_up():
    looking = Looking()
    embed({"set#0": {56}}, looking, crops=[{"set#0": noise(128)}])
    expected = naive_half(noise(128).astype(float))[8:120, 8:120]
    assert np.abs(looking.shown[0] - expected).max() <= 2  # rounded twice on the way


def test_a_probe_of_112_pixels_loses_nothing():
    looking = Looking()
    embed({"set#0": {112}}, looking, crops=[{"set#0": noise(128)}])
    assert np.array_equal(looking.shown[0], noise(128)[8:120, 8:120])
