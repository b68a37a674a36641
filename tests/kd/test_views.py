"""A view is a pure function of seed, photo and number, and teacher and student see the same one."""

import hashlib

import numpy as np
import pytest

from faces.align import ARCFACE_112, DLIB_CHIP_150
from kd.data.crops import RIM, SIDE
from kd.data.views import augmented_view, coarsened, plain_view


@pytest.fixture
def crops() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((16, 16, 1))) for _ in range(4)]).astype(np.uint8)


def view(crops, photo=0, number=0, seed=0, mixup=0.0, low_resolution=0.0):
    return augmented_view(crops, photo, number, seed=seed, mixup=mixup, low_resolution=low_resolution)


def test_asked_again_it_is_the_same(crops):
    once, again = view(crops, number=3), view(crops, number=3)
    assert np.array_equal(once.crop(ARCFACE_112), again.crop(ARCFACE_112))


@pytest.mark.parametrize("other", [{"number": 1}, {"seed": 1}, {"photo": 1}])
def test_another_number_seed_or_photo_is_another_view(crops, other):
    assert not np.array_equal(view(crops).crop(ARCFACE_112), view(crops, **other).crop(ARCFACE_112))


def test_a_plain_view_is_the_crop_itself(crops):
    assert np.array_equal(plain_view(crops[0]).crop(ARCFACE_112), crops[0][RIM:-RIM, RIM:-RIM])


def test_two_sizes_of_one_recipe_show_the_same_face(crops):
    seen = view(crops, number=5)
    small = seen.crop(DLIB_CHIP_150.scaled(75, 75)).astype(float)
    large = seen.crop(DLIB_CHIP_150).reshape(75, 2, 75, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - large).mean() < 6


def test_mixup_blends_as_often_as_it_is_told(crops):
    mixed = [view(crops, number=number, mixup=0.3).mixed for number in range(300)]
    assert 0.2 < np.mean(mixed) < 0.4
    assert not any(view(crops, number=number).mixed for number in range(50))


def test_the_photos_themselves_are_never_changed(crops):
    before = crops.copy()
    for number in range(50):
        view(crops, number=number, mixup=0.5).crop(DLIB_CHIP_150)
    assert np.array_equal(crops, before)


def test_views_have_the_pixels_that_they_have_always_had(crops):
    """What teachers said of a view is kept on disk, and a run that goes on must see what it saw."""
    shown = [view(crops, photo=number % 4, number=number, seed=7, mixup=0.4).crop(ARCFACE_112) for number in range(60)]
    assert hashlib.sha256(np.stack(shown)).hexdigest() == (
        "e5e4a7ae9690a5510c51553f2d153f259a499b2fd3c10e4894a2b58d6b58379e"
    )


def test_a_blend_says_of_what_it_was_made(monkeypatch):
    monkeypatch.setattr("kd.data.views._retouched", lambda image, rng: image)  # noqa: ARG005
    levels = (20, 100, 250)
    grey = np.stack([np.full((SIDE, SIDE, 3), level, dtype=np.uint8) for level in levels])
    for number in range(100):
        seen = view(grey, photo=1, number=number, mixup=1.0)
        assert 0.5 <= seen.share < 0.9
        assert abs(int(seen.image[0, 0, 0]) - (seen.share * 100 + (1 - seen.share) * levels[seen.other])) <= 0.5


def test_an_unblended_view_is_all_of_its_own_photo(crops):
    for one in (view(crops), plain_view(crops[0])):
        assert (one.other, one.share, one.mixed) == (None, 1.0, False)


class TestLowResolution:
    def test_as_many_views_as_told_lose_14_to_56_pixels_alike_on_a_logarithmic_scale(self, crops):
        found = [view(crops, number=number, low_resolution=0.5).resolution for number in range(1200)]
        kept = np.array([resolution for resolution in found if resolution is not None])
        assert 0.46 < len(kept) / len(found) < 0.54
        assert (kept.min(), kept.max()) == (14, 56)
        assert 0.44 < (kept < 28).mean() < 0.56

    def test_nothing_else_of_a_view_changes(self, crops):
        for number in range(40):
            lost = view(crops, number=number, mixup=0.5, low_resolution=1.0)
            whole = view(crops, number=number, mixup=0.5)
            assert np.array_equal(lost.crop(ARCFACE_112, sharp=True), whole.crop(ARCFACE_112))
            assert (lost.other, lost.share) == (whole.other, whole.share)

    def test_a_sharp_crop_of_a_view_that_lost_nothing_is_the_view(self, crops):
        whole = view(crops, number=5)
        assert np.array_equal(whole.crop(ARCFACE_112, sharp=True), whole.crop(ARCFACE_112))

    @pytest.mark.parametrize("resolution", [14, 28, 56])
    def test_what_is_finer_than_its_pixels_is_gone_and_what_is_coarser_stays(self, resolution):
        steps = np.arange(SIDE)
        fine, coarse = (np.uint8(255) * (steps // size % 2) for size in (1, 4 * 112 // resolution))
        drawn = [
            np.repeat(np.tile(stripes, (SIDE, 1))[..., None], 3, axis=2).astype(np.uint8) for stripes in (fine, coarse)
        ]
        gone, stays = (coarsened(image, resolution)[RIM:-RIM, RIM:-RIM].std() for image in drawn)
        assert gone < 20
        assert stays > 80

    def test_a_coarse_image_does_not_move(self):
        ramp = np.repeat(np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1))[..., None], 3, axis=2)
        moved = coarsened(ramp, 14)[RIM:-RIM, RIM:-RIM].astype(int) - ramp[RIM:-RIM, RIM:-RIM]
        assert np.abs(moved).max() <= 1
