"""A file that is told to look otherwise is another model, to everything that is kept of its answers."""

import shutil

import numpy as np
import pytest
import torch

from faces.models import find_model, open_embedder
from kd.adapt import adapt
from kd.checkpoint import student_weights
from kd.compare.exam import Examiner
from kd.config import Adaptation, AdaptConfig
from kd.distil import distil
from kd.evaluate.protocol import Protocol, photo_templates
from tests.app.parts import OTHER_SPACE, write_model


@pytest.fixture
def file(teacher, tmp_path):
    """The teacher's ONNX file without a card."""
    return f"onnx:{shutil.copy(teacher / 'model.onnx', tmp_path / 'face.onnx')}"


def learnt_alike(train, wrong, right, tmp_path):
    """Whether `right` comes to the same in the folder that `wrong` has shared as by itself."""
    train(wrong, tmp_path / "wrong", tell=print, data=tmp_path / "shared")
    train(right, tmp_path / "shares", tell=print, data=tmp_path / "shared")
    train(right, tmp_path / "alone", tell=print)
    shares, alone = student_weights(tmp_path / "shares"), student_weights(tmp_path / "alone")
    return all(torch.equal(shares[name], alone[name]) for name in alone)


@pytest.mark.parametrize("method", ["proxyless", "cosine"])  # class means, and answers to views
def test_a_student_learns_from_its_teacher_as_it_looks_now(config, file, tmp_path, method):
    wrong, right = (config(teacher=name, method=method, epochs=2) for name in (file, f"{file}?colour=BGR"))
    assert learnt_alike(distil, wrong, right, tmp_path)


@pytest.mark.parametrize("which", ["new", "old"])
def test_so_does_an_adapter_from_either_of_its_models(config, file, tmp_path, which):
    newer = f"onnx:{write_model(tmp_path / 'newer', space=OTHER_SPACE, noise=1.0) / 'model.onnx'}"

    def settings(options):
        new, old = (name + options * (which == side) for side, name in (("new", newer), ("old", file)))
        base = config(teacher=old, method="cosine", epochs=2)
        head = Adaptation(new, "embedding", 0, 0.0)
        return AdaptConfig(base.photos, head, base.distillation, base.viewing, base.optimisation)

    assert learnt_alike(adapt, settings(""), settings("?colour=BGR"), tmp_path)


def test_an_exam_has_the_vectors_of_the_teacher_as_it_looks_now(people, file, tmp_path, monkeypatch):
    monkeypatch.setattr("kd.compare.exam.open_detector", lambda: None)  # the photos are crops already
    photos = {str(path.relative_to(people)): path.parent.name for path in sorted(people.glob("*/*.png"))}
    protocol = Protocol("faces", photo_templates(photos, people)[0], (), ())
    kept, others = (
        Examiner(protocol, embedder, tmp_path / "exam").exam(embedder.recipe)
        for embedder in (open_embedder(find_model(name)) for name in (file, f"{file}?colour=BGR"))
    )
    assert not np.allclose(kept.vectors, others.vectors)
