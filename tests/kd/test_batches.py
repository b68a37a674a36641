"""Batches are the same wherever one starts, and the teacher is asked once for each view."""

from contextlib import closing
from itertools import islice

import numpy as np
import pytest

from faces.align import ARCFACE_112
from faces.models import open_embedder, read_model
from kd.data.batches import Targets, ViewPlan, batches
from kd.data.people import prepare_people

PLAN = ViewPlan(size=6, views=2, mixup=0.3, seed=1)


class CountingTeacher:
    def __init__(self, embedder):
        self.card, self.space, self.asked, self._embedder = embedder.card, embedder.space, 0, embedder

    def embed(self, crops):
        self.asked += len(crops)
        return self._embedder.embed(crops)


@pytest.fixture
def faces(people, tmp_path):
    return prepare_people([people], tmp_path / "data", lambda: None)


@pytest.fixture
def counting(teacher):
    return CountingTeacher(open_embedder(read_model(teacher)))


def take(faces, count, targets=None, start=0):
    with closing(batches(faces, ARCFACE_112, PLAN, targets, start=start)) as stream:
        return list(islice(stream, count))


def test_a_run_that_starts_later_sees_what_it_would_have_seen(faces):
    whole, rest = take(faces, 8), take(faces, 3, start=5)
    for one, other in zip(whole[5:], rest, strict=True):
        assert np.array_equal(one.crops, other.crops)
        assert np.array_equal(one.labels, other.labels)


def test_an_epoch_shows_every_photo_once(faces):
    plain = ViewPlan(size=6, views=2, mixup=0.0, seed=1)
    with closing(batches(faces, ARCFACE_112, plain, None, start=0)) as stream:
        labels = np.concatenate([batch.labels for batch in islice(stream, 3)])
    assert np.bincount(labels).tolist() == [6, 6, 6]


def test_blended_views_have_no_label(faces):
    labels = np.concatenate([batch.labels for batch in take(faces, 6)])
    assert 0 < (labels < 0).sum() < len(labels)


def test_the_teacher_embeds_the_view_that_the_student_sees(faces, counting, tmp_path):
    (batch,) = take(faces, 1, Targets(tmp_path / "targets.npy", counting, faces, PLAN))
    assert np.allclose(batch.targets, counting.embed(batch.crops), atol=1e-3)  # kept as float16


def test_the_teacher_is_asked_once_for_each_view(faces, counting, tmp_path):
    targets = Targets(tmp_path / "targets.npy", counting, faces, PLAN)
    take(faces, 20, targets)
    assert counting.asked == PLAN.views * len(faces.labels)


def test_answers_are_kept_for_the_next_start(faces, counting, tmp_path):
    take(faces, 20, Targets(tmp_path / "targets.npy", counting, faces, PLAN))
    asked = counting.asked
    take(faces, 20, Targets(tmp_path / "targets.npy", counting, faces, PLAN))
    assert counting.asked == asked
