"""A Model that takes another's place takes the whole of it."""

import pytest
import torch

from faces.errors import CardInvalid
from faces.models import read_model
from faces.space import Licence
from kd.begin import begin_with
from kd.classifier.files import CLASSIFIER_FILE
from kd.distil import distil
from kd.errors import CheckpointMismatch
from kd.export import export
from kd.folder import replace_model
from kd.imports import import_teacher
from kd.students import build_student
from tests.faces.parts import small_card, small_network

LICENCE = Licence("Apache-2.0", "CC0-1.0", "drawn for a test")


@pytest.fixture
def model(config, tmp_path):
    """A teacher's, with everything that a Model can have beside its card."""
    settings = config(teacher=None, method="none", dim=8, epochs=1)
    distil(settings, tmp_path / "teacher", tell=print)
    export(tmp_path / "teacher", tmp_path / "model", name="teacher", licence=LICENCE)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "card.json",
        CLASSIFIER_FILE,
        "model.onnx",
        "model.safetensors",
    ]
    return tmp_path / "model"


def test_of_a_trained_model_an_imported_one_leaves_nothing_to_begin_from(model, config, tmp_path):
    (tmp_path / "face.onnx").write_bytes(small_network())
    import_teacher(str(tmp_path / "face.onnx"), model, options={})
    assert sorted(path.name for path in model.iterdir()) == ["card.json", "model.onnx"]
    with pytest.raises(CheckpointMismatch, match="a Model without weights to begin from"):
        begin_with(build_student(config().student, 8), model, lambda: torch.empty(0))


def test_of_a_teacher_a_student_leaves_no_class_weights(model, config, tmp_path):
    distil(config(epochs=1), tmp_path / "student", tell=print)
    export(tmp_path / "student", model, name="student", licence=LICENCE)
    assert sorted(path.name for path in model.iterdir()) == ["card.json", "model.onnx", "model.safetensors"]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_model_that_was_replaced_in_part_is_none(model, monkeypatch, at):
    from kd import folder

    network, writes = small_network(), []

    def dying(path, data):
        if len(writes) == at:
            raise SystemExit
        writes.append(path)
        path.write_bytes(data)

    monkeypatch.setattr(folder, "write_whole", dying)
    with pytest.raises(SystemExit):
        replace_model(model, {"model.safetensors": b"weights", "model.onnx": network}, small_card(network))
    with pytest.raises(CardInvalid, match="no card"):
        read_model(model)


def test_what_else_is_in_the_folder_stays(model):
    (model / "NOTES.md").write_text("mine")
    network = small_network()
    replace_model(model, {"model.onnx": network}, small_card(network))
    assert (model / "NOTES.md").read_text() == "mine"
