"""Class means, and the one hard check before training: does the teacher know its people by them?"""

from dataclasses import replace

import numpy as np
import pytest

from kd.classifier import MEANS, class_means, inherit, kept_class_means, teacher_accuracy
from kd.classifier.check import nearest_rows, sampled
from kd.data.people import People
from kd.errors import ClassifierRefused


def test_the_teacher_knows_its_people_by_their_means(faces, embedder):
    classifier = class_means(faces, embedder)
    assert (classifier.weights.shape, classifier.accuracy) == ((3, embedder.space.dim), 1.0)


def test_people_whose_photos_were_shuffled_are_refused_with_the_figure(faces, embedder):
    one_each = replace(faces, labels=np.arange(18) % 3)
    with pytest.raises(ClassifierRefused, match=r"accuracy: 0\.\d+"):
        class_means(one_each, embedder)


def test_a_person_without_a_photo_is_counted_and_refused(faces, embedder):
    with pytest.raises(ClassifierRefused, match="people without a photo: 2"):
        class_means(replace(faces, names=(*faces.names, "y", "z")), embedder)


def test_permuted_weights_are_seen_in_the_accuracy():
    weights = np.eye(4, dtype=np.float32)
    labels = np.arange(4)
    assert teacher_accuracy(weights, weights, labels) == 1.0
    assert teacher_accuracy(weights[[1, 0, 2, 3]], weights, labels) == 0.5


def test_the_nearest_row_is_that_of_all_cosines_at_once(monkeypatch):
    monkeypatch.setattr("kd.classifier.check._BLOCK", (3, 5))  # embeddings and rows in several blocks, the last short
    rng = np.random.default_rng(0)
    weights = (rng.standard_normal((13, 4)) * rng.uniform(0.1, 9, (13, 1))).astype(np.float32)
    vectors = rng.standard_normal((11, 4)).astype(np.float32)
    cosines = [
        [(v @ w) / (v @ v) ** 0.5 / (w @ w) ** 0.5 for w in weights.astype(float)] for v in vectors.astype(float)
    ]
    assert nearest_rows(weights, vectors).tolist() == np.argmax(cosines, axis=1).tolist()


def test_a_large_set_is_checked_on_a_sample_of_over_a_thousand_labelled_photos_always_the_same():
    labels = np.arange(10_000) % 7 - 1
    many = People(np.empty(0), labels, tuple("abcdef"), ())
    sample = sampled(many)
    assert len(sample) == len(set(sample.tolist())) >= 1000
    assert (labels[sample] >= 0).all()
    assert (sample == sampled(many)).all()


def test_means_are_the_source_that_needs_no_file(faces, embedder, tmp_path):
    inherited = inherit(faces, embedder, MEANS, tmp_path / "new")
    assert (inherited.weights == class_means(faces, embedder).weights).all()


class Counting:
    """A teacher that counts how often it is asked."""

    def __init__(self, embedder, identity):
        self.space, self.card, self.identity = embedder.space, embedder.card, identity
        self.asked, self._embedder = 0, embedder

    def embed(self, crops):
        self.asked += 1
        return self._embedder.embed(crops)


def test_kept_means_are_not_computed_again(faces, embedder, tmp_path):
    first = kept_class_means(faces, embedder, tmp_path / "means.npz")
    again = Counting(embedder, embedder.identity)
    second = kept_class_means(faces, again, tmp_path / "means.npz")
    assert again.asked == 0
    assert (second.weights == first.weights).all()
    assert second.accuracy == first.accuracy


def test_kept_means_of_another_teacher_are_not_taken_for_this_ones(faces, embedder, tmp_path):
    kept_class_means(faces, embedder, tmp_path / "means.npz")
    other = Counting(embedder, "0123456789abcdef")
    kept_class_means(faces, other, tmp_path / "means.npz")
    assert other.asked > 0


def test_kept_means_of_other_photos_are_not_taken_for_these(faces, embedder, tmp_path):
    others = {
        "crops": {"crops": np.asarray(faces.crops) // 2},
        "labels": {"labels": (faces.labels + 1) % 3},
        "names": {"names": ("a", "b", "c")},
    }
    for change, fields in others.items():
        kept_class_means(faces, embedder, tmp_path / "means.npz")
        counting = Counting(embedder, embedder.identity)
        kept_class_means(replace(faces, **fields), counting, tmp_path / "means.npz")
        assert counting.asked > 0, change


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut off"])
def test_a_damaged_file_of_kept_means_is_written_anew(faces, embedder, tmp_path, damage):
    (tmp_path / "means.npz").write_bytes(damage)
    kept_class_means(faces, embedder, tmp_path / "means.npz")
    counting = Counting(embedder, embedder.identity)
    assert kept_class_means(faces, counting, tmp_path / "means.npz").accuracy == 1.0
    assert counting.asked == 0
