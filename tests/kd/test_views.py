"""A view is a pure function of seed, photo and number, and teacher and student see the same one."""

import numpy as np
import pytest

from faces.align import ARCFACE_112, DLIB_CHIP_150
from kd.data.people import RIM
from kd.data.views import augmented_view, plain_view


@pytest.fixture
def crops() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((16, 16, 1))) for _ in range(4)]).astype(np.uint8)


def view(crops, photo=0, number=0, seed=0, mixup=0.0):
    return augmented_view(crops, photo, number, seed=seed, mixup=mixup)


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
