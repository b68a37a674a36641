"""What an epoch shows, by each sampler; and that a run that goes on is shown what it would have been shown."""

import numpy as np
import pytest

from kd.data.samplers import SAMPLERS, class_uniform, clusters, epoch_order, half_balanced, superclass_uniform
from kd.errors import DataUnusable, UnknownName

PEOPLE = 40
COUNTS = np.random.default_rng(0).integers(1, 30, PEOPLE)  # photos of each person
LABELS = np.random.default_rng(1).permutation(np.concatenate([np.repeat(np.arange(PEOPLE), COUNTS), np.full(50, -1)]))
DIRECTIONS = np.eye(4, 8)[np.arange(PEOPLE) % 4]  # four kinds of people
CENTRES = (3 * DIRECTIONS + np.random.default_rng(2).normal(0, 0.05, (PEOPLE, 8))).astype(np.float32)


def orders(name, epochs=1, batch=16, labels=LABELS):
    order = epoch_order(name, labels, batch, seed=3, centres=CENTRES)
    return np.concatenate([order(epoch) for epoch in range(epochs)])


def labels_of(name, **how):
    return LABELS[orders(name, **how)]


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_photos_is_the_order_that_runs_have_always_had(epoch):
    shown = epoch_order("photos", LABELS, 16, seed=3, centres=None)(epoch)
    steps = len(LABELS) // 16
    expected = np.random.default_rng([3, epoch]).permutation(len(LABELS))
    assert shown.shape == (steps, 16)
    assert np.array_equal(shown.ravel(), expected[: steps * 16])


def test_a_name_that_no_sampler_has_is_answered_with_those_that_are():
    with pytest.raises(UnknownName, match="class-uniform, half-balanced, photos, superclass-uniform"):
        epoch_order("random", LABELS, 16, seed=3, centres=CENTRES)


class TestAll:
    @pytest.fixture(params=sorted(SAMPLERS))
    def name(self, request):
        return request.param

    def test_an_epoch_asked_for_again_is_the_same_and_the_next_is_another(self, name):
        one, again, other = (epoch_order(name, LABELS, 16, seed=3, centres=CENTRES)(epoch) for epoch in (5, 5, 6))
        assert np.array_equal(one, again)
        assert not np.array_equal(one, other)

    def test_another_seed_is_another_order(self, name):
        one, other = (epoch_order(name, LABELS, 16, seed=seed, centres=CENTRES)(0) for seed in (3, 4))
        assert not np.array_equal(one, other)

    def test_every_epoch_has_as_many_steps(self, name):
        whole = len(LABELS) if name == "photos" else COUNTS.sum()
        order = epoch_order(name, LABELS, 16, seed=3, centres=CENTRES)
        assert {order(epoch).shape for epoch in range(10)} == {(whole // 16, 16)}
        assert order(0).dtype == np.int64

    @pytest.mark.parametrize("batch", [2, 5, 16, 33])
    def test_any_batch_is_filled_with_photos_that_exist(self, name, batch):
        shown = orders(name, batch=batch)
        assert shown.shape[1] == batch
        assert shown.min() >= 0
        assert shown.max() < len(LABELS)

    def test_fewer_photos_than_a_batch_are_no_step(self, name):
        assert orders(name, batch=1000).shape == (0, 1000)

    def test_only_photos_shows_faces_without_a_label(self, name):
        assert (labels_of(name) < 0).any() == (name == "photos")


class TestClassUniform:
    def test_a_step_shows_four_photos_each_of_different_people(self):
        for shown in labels_of("class-uniform"):
            assert np.unique(shown, return_counts=True)[1].tolist() == [4, 4, 4, 4]

    def test_each_is_shown_equally_often_whether_they_have_many_photos_or_one(self):
        often = np.bincount(labels_of("class-uniform", epochs=40).ravel())
        assert often.min() > 0.9 * often.mean()
        assert often.max() < 1.1 * often.mean()

    def test_no_photo_comes_twice_in_a_step_unless_its_person_has_too_few(self):
        for photos in orders("class-uniform", epochs=5):
            again, times = np.unique(photos, return_counts=True)
            assert all(COUNTS[LABELS[photo]] < 4 for photo in again[times > 1])

    def test_all_photos_of_a_person_have_their_turn(self):
        shown = orders("class-uniform", epochs=40)
        assert set(shown.ravel().tolist()) == set(np.flatnonzero(LABELS >= 0).tolist())

    def test_the_number_of_photos_of_each_can_be_told(self):
        for photos in class_uniform(LABELS, 16, np.random.default_rng(0), None, each=8):
            assert np.unique(LABELS[photos], return_counts=True)[1].tolist() == [8, 8]

    def test_a_batch_that_does_not_divide_shows_fewer_of_the_last(self):
        for shown in labels_of("class-uniform", batch=10):
            assert sorted(np.unique(shown, return_counts=True)[1].tolist()) == [2, 4, 4]

    def test_too_few_people_show_more_photos_each(self):
        few = np.repeat([0, 1, 5], 20)  # nobody has labels 2 to 4: class subsets leave such holes
        for photos in orders("class-uniform", labels=few, batch=24):
            assert np.unique(few[photos], return_counts=True)[1].tolist() == [8, 8, 8]


class TestSuperclassUniform:
    def test_a_step_shows_people_of_one_kind(self):
        for photos in superclass_uniform(LABELS, 16, np.random.default_rng(0), CENTRES, superclasses=4):
            shown = np.unique(LABELS[photos])
            assert len(shown) == 4
            assert len(np.unique(shown % 4)) == 1

    def test_each_is_shown_equally_often_whatever_the_size_of_their_kind(self):
        uneven = np.eye(2, 8, dtype=np.float32)[(np.arange(PEOPLE) < 8).astype(int)]  # 8 of one, 32 of another
        rng = np.random.default_rng(0)
        shown = [LABELS[superclass_uniform(LABELS, 16, rng, uneven, superclasses=2)] for _ in range(60)]
        often = np.bincount(np.concatenate(shown).ravel())
        assert 0.85 < often[:8].mean() / often[8:].mean() < 1.15

    def test_superclasses_are_no_more_than_leaves_each_a_step_of_people(self):
        people = [len(np.unique(shown)) for shown in labels_of("superclass-uniform", batch=32, epochs=5)]
        assert np.mean(people) > 5  # of the 8 that a step asks for

    def test_without_class_centres_it_cannot_be(self):
        with pytest.raises(DataUnusable, match="superclass-uniform"):
            epoch_order("superclass-uniform", LABELS, 16, seed=3, centres=None)(0)

    def test_rows_of_people_without_photos_play_no_part(self):
        holes = np.where(LABELS % 2 == 0, LABELS, -1)
        strange = CENTRES.copy()
        strange[1::2] = np.random.default_rng(5).normal(size=strange[1::2].shape)
        with_them, without = (superclass_uniform(holes, 16, np.random.default_rng(0), c) for c in (CENTRES, strange))
        assert np.array_equal(with_them, without)


class TestClusters:
    def test_rows_of_one_direction_are_together_whatever_their_length(self):
        lengths = np.linspace(0.1, 9, PEOPLE)[:, None]
        found = clusters((CENTRES * lengths).astype(np.float32), 4)
        assert all(len(np.unique(found[kind::4])) == 1 for kind in range(4))
        assert len(np.unique(found)) == 4

    def test_every_row_is_with_the_mean_that_is_nearest(self):
        rows = np.random.default_rng(0).normal(size=(60, 5))
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        found = clusters(rows.astype(np.float32), 6)
        means = [
            np.mean([row for row, at in zip(unit, found, strict=True) if at == number], axis=0) for number in range(6)
        ]
        for row, at in zip(unit, found, strict=True):
            assert np.sum((row - means[at]) ** 2) <= min(np.sum((row - mean) ** 2) for mean in means) + 1e-3

    @pytest.mark.parametrize(("rows", "count"), [(1, 100), (3, 100), (5, 2)])
    def test_equal_rows_are_one_cluster_and_no_warning(self, rows, count):
        assert clusters(np.ones((rows, 4), dtype=np.float32), count).tolist() == [0] * rows


class TestHalfBalanced:
    def test_the_second_half_shows_four_photos_each(self):
        for shown in labels_of("half-balanced"):
            assert np.unique(shown[8:], return_counts=True)[1].tolist() == [4, 4]

    def test_the_first_half_shows_no_photo_twice_an_epoch(self):
        general = orders("half-balanced")[:, :8].ravel()
        assert len(np.unique(general)) == len(general)

    def test_an_odd_batch_has_the_larger_half_balanced(self):
        shown = half_balanced(LABELS, 9, np.random.default_rng(0), None)
        assert len(np.unique(shown[:, :4])) == shown[:, :4].size
