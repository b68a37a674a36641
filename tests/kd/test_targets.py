"""The teacher is asked once for each view that comes again, and each view by the one who teaches it."""

from dataclasses import replace

import numpy as np
import pytest

from faces.models import open_embedder, read_model
from kd.config import Viewing
from kd.data.people import prepare_people
from kd.data.targets import KeptAnswers, Teaching
from kd.data.views import augmented_view

VIEWS, PHOTOS = 2, np.arange(18)
VIEWING = Viewing(VIEWS, mixup=0.0, low_resolution=0.0, sampler="photos", photos_each=(1, None), view_seed=0)


class CountingTeacher:
    def __init__(self, embedder, identity="one"):
        self.recipe, self.identity, self.asked, self._embedder = embedder.recipe, identity, 0, embedder

    def embed(self, crops):
        self.asked += len(crops)
        return self._embedder.embed(crops)


@pytest.fixture
def embedder(teacher):
    return open_embedder(read_model(teacher))


@pytest.fixture
def counting(embedder):
    return CountingTeacher(embedder)


@pytest.fixture
def show(people, tmp_path):
    crops = prepare_people([people], tmp_path / "data", lambda: None).crops

    def views(epoch, low_resolution=0.0):
        return [
            augmented_view(crops, int(i), epoch % VIEWS, seed=0, mixup=0.0, low_resolution=low_resolution)
            for i in PHOTOS
        ]

    return views


def teaching(*oracles, teacher=lambda *_: 0, sharp=False):
    return Teaching(oracles, teacher, sharp, oracles[0]._embedder.space.dim)


def kept(folder, asked, photos=18, whose=(), **viewing):
    return KeptAnswers(folder, asked, viewing=replace(VIEWING, **viewing), photos=photos, whose=whose)


def test_the_teacher_embeds_the_view_that_the_student_sees(show, counting, tmp_path):
    views = show(0)
    expected = counting.embed(np.stack([view.crop(counting.recipe) for view in views]))
    assert np.allclose(kept(tmp_path, teaching(counting)).answers(0, PHOTOS, views), expected, atol=1e-3)  # float16


def test_the_teacher_is_asked_once_for_each_view(show, counting, tmp_path):
    targets = kept(tmp_path, teaching(counting))
    for epoch in range(6):
        targets.answers(epoch, PHOTOS, show(epoch))
    assert counting.asked == VIEWS * len(PHOTOS)


def test_the_first_answer_is_what_is_answered_ever_after(show, counting, tmp_path):
    targets = kept(tmp_path, teaching(counting))
    assert np.array_equal(targets.answers(0, PHOTOS, show(0)), targets.answers(VIEWS, PHOTOS, show(0)))


def test_answers_are_kept_for_the_next_start(show, counting, tmp_path):
    kept(tmp_path, teaching(counting)).answers(0, PHOTOS, show(0))
    kept(tmp_path, teaching(counting)).answers(0, PHOTOS, show(0))
    assert counting.asked == len(PHOTOS)


def test_answers_of_another_teacher_or_to_other_views_are_kept_apart(show, embedder, tmp_path):
    one, other = CountingTeacher(embedder, "one"), CountingTeacher(embedder, "other")
    for asked, changes in ((one, {}), (other, {}), (one, {"mixup": 0.3}), (one, {"whose": ("2-4=one",)})):
        kept(tmp_path, teaching(asked), **changes).answers(0, PHOTOS, show(0))
    assert (one.asked, other.asked) == (3 * len(PHOTOS), len(PHOTOS))
    assert len(list(tmp_path.glob("targets-*.npy"))) == 4


def test_answers_for_some_of_the_people_are_no_answers_for_others(show, counting, tmp_path):
    kept(tmp_path, teaching(counting)).answers(0, PHOTOS, show(0))
    some = PHOTOS[6:]
    views = [show(0)[photo] for photo in some]  # photo 0 of these is another person's
    expected = counting.embed(np.stack([view.crop(counting.recipe) for view in views]))
    answers = kept(tmp_path, teaching(counting), photos=12, photos_each=(6, 6)).answers(0, PHOTOS[:12], views)
    assert np.allclose(answers, expected, atol=1e-3)


def test_the_order_of_photos_changes_no_answer(show, counting, tmp_path):
    kept(tmp_path, teaching(counting)).answers(0, PHOTOS, show(0))
    kept(tmp_path, teaching(counting), sampler="half-balanced").answers(0, PHOTOS, show(0))
    assert counting.asked == len(PHOTOS)


@pytest.mark.parametrize("damage", ["another shape", "cut short", "empty"])
def test_a_kept_file_that_does_not_fit_is_made_anew(show, counting, tmp_path, damage):
    kept(tmp_path, teaching(counting)).answers(0, PHOTOS, show(0))
    (file,) = tmp_path.glob("targets-*.npy")
    if damage == "another shape":
        np.save(file, np.load(file)[:, :6])
    else:
        file.write_bytes(file.read_bytes()[: 200 if damage == "cut short" else 0])
    expected = counting.embed(np.stack([view.crop(counting.recipe) for view in show(0)]))
    answers = kept(tmp_path, teaching(counting)).answers(0, PHOTOS, show(0))
    assert np.allclose(answers, expected, atol=1e-3)
    assert [path.name for path in tmp_path.glob("targets-*")] == [file.name]


def test_each_view_is_taught_by_its_own_teacher_and_some_by_nobody(show, embedder, tmp_path):
    even, odd = CountingTeacher(embedder, "even"), CountingTeacher(embedder, "odd")
    both = teaching(even, odd, teacher=lambda _, photo: -1 if photo == 4 else photo % 2)
    answers = kept(tmp_path, both).answers(0, PHOTOS, show(0))
    assert np.flatnonzero(np.isnan(answers).any(axis=1)).tolist() == [4]
    assert (even.asked, odd.asked) == (8, 9)
    again = kept(tmp_path, both).answers(0, PHOTOS, show(0))
    assert np.array_equal(answers, again, equal_nan=True)
    assert (even.asked, odd.asked) == (8, 9)


def test_a_sharp_teacher_sees_what_the_student_no_longer_does(show, counting):
    views, sharp = show(0, low_resolution=1.0), show(0)
    blurred = teaching(counting).answers(0, PHOTOS, views)
    clear = teaching(counting, sharp=True).answers(0, PHOTOS, views)
    assert np.array_equal(clear, teaching(counting).answers(0, PHOTOS, sharp))
    assert not np.allclose(blurred, clear)
