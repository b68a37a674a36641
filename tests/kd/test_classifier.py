"""Class means, and the one hard check before training: does the teacher know its people by them?"""

import numpy as np
import pytest

from faces.models import open_embedder, read_model
from kd.classifier import class_means, teacher_accuracy
from kd.data.people import prepare_people
from kd.errors import ClassifierRefused


@pytest.fixture
def faces(people, tmp_path):
    return prepare_people([people], tmp_path / "data", lambda: None)


@pytest.fixture
def embedder(teacher):
    return open_embedder(read_model(teacher))


def test_the_teacher_knows_its_people_by_their_means(faces, embedder):
    classifier = class_means(faces, embedder)
    assert (classifier.weights.shape, classifier.accuracy) == ((3, embedder.space.dim), 1.0)


def test_people_whose_photos_were_shuffled_are_refused_with_the_figure(faces, embedder):
    from dataclasses import replace

    one_each = replace(faces, labels=np.arange(18) % 3)
    with pytest.raises(ClassifierRefused, match=r"accuracy: 0\.\d+"):
        class_means(one_each, embedder)


def test_permuted_weights_are_seen_in_the_accuracy():
    weights = np.eye(4, dtype=np.float32)
    labels = np.arange(4)
    assert teacher_accuracy(weights, weights, labels) == 1.0
    assert teacher_accuracy(weights[[1, 0, 2, 3]], weights, labels) == 0.5
