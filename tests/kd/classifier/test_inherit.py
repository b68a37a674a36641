"""A classifier inherited from a file: whose row is whose, and what is refused before a step is trained."""

import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from kd.classifier import class_means, classifier_file, inherit
from kd.errors import ClassifierRefused


@pytest.fixture
def means(faces, embedder):
    """(3, 8): what the teacher knows its people by."""
    return class_means(faces, embedder).weights


@pytest.fixture
def others():
    """(4, 8): rows of people who are not in the data."""
    return np.random.default_rng(5).standard_normal((4, 8)).astype(np.float32)


@pytest.fixture
def refused(faces, embedder, tmp_path):
    """The sentence with which a classifier is refused."""

    def refuse(path, people=faces):
        with pytest.raises(ClassifierRefused) as error:
            inherit(people, embedder, path, tmp_path)
        return str(error.value)

    return refuse


def saved(path, weights, names=None):
    """A .npy, and the names of its rows beside it."""
    np.save(path, weights)
    if names is not None:
        path.with_suffix(".txt").write_text("".join(f"{name}\n" for name in names))
    return path


def keep(path, weights, names):
    path.write_bytes(classifier_file(path, weights, names))


def test_what_a_teacher_trained_here_wrote_is_read_back(faces, embedder, means, tmp_path):
    keep(tmp_path / "classifier.safetensors", means, faces.names)
    inherited = inherit(faces, embedder, tmp_path / "classifier.safetensors", tmp_path)
    assert (inherited.weights == means).all()
    assert inherited.accuracy == 1.0


def test_a_model_folder_stands_for_the_classifier_in_it(faces, embedder, means, tmp_path):
    keep(tmp_path / "classifier.safetensors", means, faces.names)
    assert (inherit(faces, embedder, str(tmp_path), tmp_path).weights == means).all()


def test_a_classifier_is_not_written_without_a_name_for_each_row(means, tmp_path):
    with pytest.raises(ClassifierRefused, match=r"3 rows .* names .*: 2"):
        classifier_file(tmp_path / "classifier.safetensors", means, ("a", "b"))


def test_rows_find_their_people_by_name_and_strangers_stay_behind_them(faces, embedder, means, others, tmp_path):
    rows = np.stack([others[0], means[2], others[1], means[0], means[1], others[2]])
    names = ["x", faces.names[2], "y", faces.names[0], faces.names[1], "z"]
    inherited = inherit(faces, embedder, saved(tmp_path / "w.npy", rows, names), tmp_path)
    assert (inherited.weights == np.concatenate([means, others[:3]])).all()


def test_names_may_stand_in_json_or_in_the_safetensors_file_itself(faces, embedder, means, tmp_path):
    turned, names = means[::-1].copy(), list(faces.names[::-1])
    np.save(tmp_path / "w.npy", turned)
    (tmp_path / "w.json").write_text(json.dumps(names))
    assert (inherit(faces, embedder, tmp_path / "w.npy", tmp_path).weights == means).all()
    file = tmp_path / "v.safetensors"
    safetensors.torch.save_file({"any": torch.from_numpy(turned).bfloat16()}, file, {"names": json.dumps(names)})
    assert np.allclose(inherit(faces, embedder, file, tmp_path).weights, means, atol=1e-2)


def test_without_names_row_i_is_the_ith_of_the_sorted_people(faces, embedder, means, tmp_path):
    assert (inherit(faces, embedder, saved(tmp_path / "w.npy", means), tmp_path).weights == means).all()


def test_people_called_by_their_labels_have_the_rows_of_these_numbers(faces, embedder, means, others, tmp_path):
    labelled = replace(faces, names=("0", "10", "2"))  # sorted as names, not as numbers
    rows = np.tile(others, (3, 1))[:11]
    rows[[0, 10, 2]] = means
    inherited = inherit(labelled, embedder, saved(tmp_path / "w.npy", rows), tmp_path)
    assert (inherited.weights[:3] == means).all()
    assert len(inherited.weights) == 11


def test_numbers_that_are_no_rows_are_names_like_any_other(faces, embedder, means, tmp_path):
    casia = replace(faces, names=("0000045", "0000099", "6573619"))
    assert (inherit(casia, embedder, saved(tmp_path / "w.npy", means), tmp_path).weights == means).all()


def test_a_row_too_many_or_too_few_without_names_is_refused_with_both_counts(means, others, tmp_path, refused):
    assert "3 people, but without a name each, rows of class weights" in refused(saved(tmp_path / "w.npy", means[:2]))
    assert ": 4." in refused(saved(tmp_path / "v.npy", np.concatenate([means, others[:1]])))


def test_people_without_a_row_are_refused_with_their_count(faces, means, tmp_path, refused):
    sentence = refused(saved(tmp_path / "w.npy", means, [faces.names[0], "x", "y"]))
    assert "of 3 people, some have no row" in sentence
    assert ": 2." in sentence


def test_permuted_rows_are_refused_with_the_measured_accuracy(means, tmp_path, refused):
    assert "accuracy: 0.0." in refused(saved(tmp_path / "w.npy", np.roll(means, 1, axis=0)))


def test_foreign_rows_are_refused_with_the_measured_accuracy(faces, tmp_path, refused):
    foreign = np.random.default_rng(1).standard_normal((40, 8)).astype(np.float32)
    sentence = refused(saved(tmp_path / "w.npy", foreign, [*faces.names, *map(str, range(37))]))
    assert "accuracy: 0." in sentence
    assert "another teacher's" in sentence


def test_another_dimension_is_refused_with_both(means, tmp_path, refused):
    sentence = refused(saved(tmp_path / "w.npy", np.tile(means, 2)))
    assert "than the teacher's 8" in sentence
    assert ": 16." in sentence


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_row_without_a_direction_is_refused_with_its_number(means, tmp_path, refused, value):
    means[1] = value
    assert "the first is row: 1." in refused(saved(tmp_path / "w.npy", means))


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".pt"])
def test_a_truncated_file_is_refused_with_its_path(means, faces, tmp_path, refused, suffix):
    path = tmp_path / f"w{suffix}"
    {
        ".npy": lambda: np.save(path, means),
        ".safetensors": lambda: keep(path, means, faces.names),
        ".pt": lambda: torch.save(torch.from_numpy(means), path),
    }[suffix]()
    whole = path.read_bytes()
    for length in (0, 7, len(whole) // 2, len(whole) - 8):
        path.write_bytes(whole[:length])
        sentence = refused(path)
        assert "does not read as class weights" in sentence
        assert str(path) in sentence


def test_nothing_in_a_torch_file_is_run(tmp_path, refused):
    class Evil:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"weight": Evil()}, tmp_path / "w.pt")
    assert "does not read as class weights" in refused(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (np.ones(3, np.float32), "3 torch.float32"),
        (np.ones((3, 8), np.int64), "3 × 8 torch.int64"),
        (np.ones((0, 8), np.float32), "0 × 8"),
    ],
)
def test_what_is_no_matrix_of_real_numbers_is_refused_with_its_shape(tmp_path, refused, values, what):
    assert what in refused(saved(tmp_path / "w.npy", values))


@pytest.mark.parametrize("source", ["nowhere.npy", "empty"])
def test_a_path_without_a_classifier_is_refused_with_what_would_be_one(tmp_path, refused, source):
    (tmp_path / "empty").mkdir()
    assert "a folder of partial-FC shards" in refused(tmp_path / source)


def test_a_file_of_another_kind_is_refused_with_what_is_read(tmp_path, refused):
    (tmp_path / "w.csv").write_text("1,2")
    assert ".safetensors, .npy, .pt, .pth" in refused(tmp_path / "w.csv")


def test_a_file_with_several_matrices_is_refused(means, tmp_path, refused):
    both = {"a": torch.from_numpy(means), "b": torch.from_numpy(means + 1)}
    safetensors.torch.save_file(both, tmp_path / "w.safetensors")
    assert "not 2" in refused(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("names", "what"), [(["a", "b"], "but names"), (["a", "a", "b"], "without a name of their own"), ({"a": 0}, "list")]
)
def test_names_that_do_not_fit_the_rows_are_refused(means, tmp_path, refused, names, what):
    np.save(tmp_path / "w.npy", means)
    (tmp_path / "w.json").write_text(json.dumps(names))
    assert what in refused(tmp_path / "w.npy")


def test_two_lists_of_names_are_refused(means, tmp_path, refused):
    (tmp_path / "w.json").write_text("[]")
    assert "two lists of names" in refused(saved(tmp_path / "w.npy", means, "abc"))


def test_facenets_logits_are_matched_to_people_by_whom_the_teacher_recognises(faces, embedder, means, others, tmp_path):
    rows = np.stack([others[0], means[2], means[0], others[1], means[1]])
    state = {"logits.weight": torch.from_numpy(rows), "logits.bias": torch.full((5,), 9.0)}
    torch.save(state, tmp_path / "vggface2.pt")
    inherited = inherit(faces, embedder, tmp_path / "vggface2.pt", tmp_path)
    assert (inherited.weights == np.concatenate([means, others[:2]])).all()
    assert inherited.accuracy == 1.0


def test_facenets_logits_of_other_people_are_refused_with_how_many_have_a_row(means, others, tmp_path, refused):
    torch.save({"logits.weight": torch.from_numpy(np.stack([means.mean(axis=0), others[0]]))}, tmp_path / "w.pt")
    sentence = refused(tmp_path / "w.pt")
    assert "of 3 people, the teacher recognises by a row of their own" in sentence
    assert "Use class means" in sentence


def test_a_match_is_checked_on_photos_that_did_not_make_it(faces, means, tmp_path, refused):
    torch.save({"logits.weight": torch.from_numpy(means)}, tmp_path / "w.pt")
    one_each = replace(faces, labels=np.where(np.arange(18) % 6 == 0, faces.labels, -1))
    assert "nobody has a second photo" in refused(tmp_path / "w.pt", one_each)


def test_a_torch_file_without_class_weights_says_where_it_looked(tmp_path, refused):
    torch.save({"epoch": 3, "weight": 1}, tmp_path / "w.pt")
    assert "state_dict_softmax_fc/weight" in refused(tmp_path / "w.pt")
