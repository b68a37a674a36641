"""An exported Model answers as the network did, and its card is filled and true."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from faces.errors import CardInvalid
from faces.models import open_embedder, read_model
from faces.space import Licence
from kd.checkpoint import initial_weights, load_config, student_weights
from kd.data.people import prepare_people
from kd.distil import build_student, data_folder, distil
from kd.errors import CheckpointMismatch, ExportDiffers
from kd.export import check_export, export, to_onnx
from kd.head import unit

LICENCE = Licence("Apache-2.0", "CC0-1.0", "drawn for a test")


@pytest.fixture
def run(config, tmp_path):
    distil(config(), tmp_path / "run", tell=print)
    return tmp_path / "run"


@pytest.fixture
def exported(run, tmp_path):
    export(run, tmp_path / "model", name="small", licence=LICENCE)
    return tmp_path / "model"


def test_the_model_embeds_as_the_network_does(run, exported):
    network = build_student(load_config(run).student, dim=8).eval()
    network.load_state_dict(student_weights(run))
    crops = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = unit(network((torch.from_numpy(crops).permute(0, 3, 1, 2).float() - 127.5) / 128))
    assert np.abs(open_embedder(read_model(exported)).embed(crops) - expected.numpy()).max() < 1e-4


def test_the_card_says_whose_space_it_is_and_how_it_came_to_be(exported, teacher, people):
    card, base = read_model(exported).card, read_model(teacher).card
    assert (card.role, card.space, card.teacher_model_id) == ("student", base.space, base.model_id)
    assert (card.crop.name, card.crop.height, card.licence) == (base.crop.name, 32, LICENCE)
    assert (card.trained.images, card.trained.epochs, card.trained.seed) == (18, 3, 3)
    assert card.trained.command.startswith(f"kd train {people} --backbone slimresnet --width 0.25 --side 32")


def test_the_command_in_the_card_makes_the_same_settings(run, exported, monkeypatch):
    import shlex

    from click.testing import CliRunner

    from kd.cli import main

    seen = []
    monkeypatch.setattr("kd.distil.distil", lambda config, *_, **__: seen.append(config))
    words = shlex.split(read_model(exported).card.trained.command)[1:]
    CliRunner().invoke(main, [*words, "--out", "elsewhere"], catch_exceptions=False)
    assert seen == [load_config(run)]


def test_a_student_can_go_on_from_an_exported_model(run, exported):
    weights, kept = initial_weights(exported), student_weights(run)
    assert all(torch.equal(weights[name], kept[name]) for name in kept)


def test_a_file_that_answers_otherwise_is_not_exported():
    from kd.config import Student

    settings = Student("slimresnet", 0.25, 32, None, None)
    one, other = build_student(settings, 8).eval(), build_student(settings, 8).eval()
    with pytest.raises(ExportDiffers):
        check_export(one, to_onnx(other, 32), 32)


def test_no_path_of_this_machine_gets_into_the_file(exported):
    assert str(torch.__path__[0]).encode() not in (exported / "model.onnx").read_bytes()


@pytest.fixture
def others(people, tmp_path):
    """As many people, of other names."""
    for place, folder in enumerate(sorted(people.iterdir())):
        shutil.copytree(folder, tmp_path / "others" / f"stranger-{place}")
    return tmp_path / "others"


def test_a_run_whose_shared_faces_another_run_replaced_is_not_exported_until_they_are_its_own(config, others, tmp_path):
    own, data = config(teacher=None, method="none", dim=8, epochs=1), tmp_path / "shared"
    distil(own, tmp_path / "run", tell=print, data=data)
    export(tmp_path / "run", tmp_path / "model", name="small", licence=LICENCE)
    named = (tmp_path / "model" / "classifier.safetensors").read_bytes()
    distil(replace(own, photos=(str(others),)), tmp_path / "other", tell=print, data=data)
    with pytest.raises(CheckpointMismatch, match="replaced by those of other photos"):
        export(tmp_path / "run", tmp_path / "again", name="small", licence=LICENCE)
    assert not (tmp_path / "again").exists()
    distil(own, tmp_path / "run", tell=print)  # as the card has it, without --data
    export(tmp_path / "run", tmp_path / "again", name="small", licence=LICENCE)
    assert (tmp_path / "again" / "classifier.safetensors").read_bytes() == named


def test_a_run_whose_faces_are_gone_says_so(run, tmp_path):
    shutil.rmtree(run / "data")
    with pytest.raises(CheckpointMismatch, match="are gone"):
        export(run, tmp_path / "model", name="small", licence=LICENCE)


def test_a_run_does_not_go_on_with_other_photos_and_keeps_its_faces(config, others, people, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(people, photos)
    own = config(photos=(str(photos),), epochs=1)
    distil(own, tmp_path / "run", tell=print)
    shutil.copytree(others / "stranger-0", photos / "a-newcomer")
    with pytest.raises(CheckpointMismatch, match="other photos than are there now"):
        distil(own, tmp_path / "run", tell=print)
    export(tmp_path / "run", tmp_path / "model", name="small", licence=LICENCE)


def test_a_run_can_share_another_folder_than_it_began_with(config, tmp_path):
    for data in ("one", "other"):
        distil(config(epochs=1), tmp_path / "run", tell=print, data=tmp_path / data)
    assert (tmp_path / "run" / "data").resolve() == tmp_path / "other"


def test_a_run_may_be_told_that_its_own_folder_is_the_shared_one(tmp_path):
    assert data_folder(tmp_path / "run", tmp_path / "run" / "data") == tmp_path / "run" / "data"
    assert not (tmp_path / "run" / "data").is_symlink()


def test_a_run_without_a_checkpoint_has_nothing_to_export(config, people, tmp_path):
    from kd.checkpoint import save_config

    save_config(tmp_path / "run", config())
    prepare_people([people], tmp_path / "run" / "data", lambda: None)
    with pytest.raises(CheckpointMismatch, match="no checkpoint yet"):
        export(tmp_path / "run", tmp_path / "model", name="small", licence=LICENCE)
    assert not (tmp_path / "model").exists()


def test_an_interrupted_export_leaves_no_card_beside_a_foreign_file(exported):
    (exported / "model.onnx").write_bytes(b"another file")
    with pytest.raises(CardInvalid):
        read_model(exported)
