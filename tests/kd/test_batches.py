"""Batches are the same wherever one starts, and the ranks of a run share each of them."""

from contextlib import closing
from itertools import islice

import numpy as np
import pytest

from faces.align import ARCFACE_112
from kd.data.batches import ViewPlan, batches
from kd.data.people import prepare_people

BATCH = 6


@pytest.fixture
def faces(people, tmp_path):
    return prepare_people([people], tmp_path / "data", lambda: None)


def order(epoch):
    return np.random.default_rng([1, epoch]).permutation(18).reshape(3, BATCH)


def take(faces, count, *, start=0, mixup=0.3, mine=slice(None)):
    plan = ViewPlan(order, views=2, mixup=mixup, low_resolution=0.0, seed=1)
    with closing(batches(faces, ARCFACE_112, plan, None, start=start, mine=mine)) as stream:
        return list(islice(stream, count))


def test_a_run_that_starts_later_sees_what_it_would_have_seen(faces):
    whole, rest = take(faces, 8), take(faces, 3, start=5)
    for one, other in zip(whole[5:], rest, strict=True):
        assert np.array_equal(one.inputs, other.inputs)
        assert np.array_equal(one.people, other.people)


def test_an_epoch_shows_every_photo_once(faces):
    people = np.concatenate([batch.people[:, 0] for batch in take(faces, 3, mixup=0.0)])
    assert np.bincount(people).tolist() == [6, 6, 6]


def test_a_blended_view_names_both_people_and_the_share_of_the_first(faces):
    seen = take(faces, 6)
    people = np.concatenate([batch.people for batch in seen])
    share = np.concatenate([batch.share for batch in seen])
    blended = share < 1
    assert 0 < blended.sum() < len(share)
    assert (people[blended] >= 0).all()
    assert (people[~blended, 1] == -1).all()
    assert (share[blended] >= 0.5).all()


def test_two_ranks_see_the_halves_of_what_one_sees(faces):
    whole, first, second = take(faces, 4), take(faces, 4, mine=slice(0, 3)), take(faces, 4, mine=slice(3, 6))
    for all_of_it, one, other in zip(whole, first, second, strict=True):
        assert np.array_equal(all_of_it.inputs, np.concatenate([one.inputs, other.inputs]))
        assert np.array_equal(all_of_it.people, np.concatenate([one.people, other.people]))
