"""`kd adapt`: another model's rows, carried into the teacher's Space by a head, and both made one Model."""

import numpy as np
import pytest
import torch

from faces.embed import ModelEmbedder
from faces.errors import ModelUnknown, WeightsUnreadable
from faces.models import find_model, open_embedder, read_model
from faces.space import Licence
from kd.adapt import adapt
from kd.checkpoint import load_config, load_settings, student_weights, trained_steps
from kd.config import Adaptation, AdaptConfig
from kd.data.people import prepare_people, read_people
from kd.data.rows import row_batches
from kd.data.views import augmented_view, plain_view
from kd.distil import distil
from kd.errors import AdaptRefused, CheckpointMismatch, DataUnusable, ExportDiffers
from kd.export import check_answers, export
from kd.trunk import open_trunk
from tests.app.parts import OTHER_SPACE, write_model
from tests.kd.test_train import dying_at_step

LICENCE = Licence("Apache-2.0", "CC0-1.0", "drawn for a test")
FEATURES, DIM, HIDDEN = 48, 8, 16
_HEAD = (FEATURES * DIM + DIM) + (FEATURES * HIDDEN + HIDDEN) + (HIDDEN * DIM + DIM)


@pytest.fixture(scope="session")
def embedder(tmp_path_factory):
    """A model of another Space than the teacher's, that looks at faces otherwise."""
    return write_model(tmp_path_factory.mktemp("models") / "newer", space=OTHER_SPACE, noise=1.0)


@pytest.fixture
def adaptation(config, embedder):
    """Settings of a small run; keywords replace any of them."""

    def build(hidden=16, drop=0.0, rows="features", embedder=str(embedder), **changes):
        base = config(**{"method": "cosine+0.1*proxyless", "mixup": 0.5} | changes)
        return AdaptConfig(
            base.photos, Adaptation(embedder, rows, hidden, drop), base.distillation, base.viewing, base.optimisation
        )

    return build


@pytest.fixture
def run(adaptation, tmp_path):
    adapt(adaptation(epochs=20), tmp_path / "run", tell=print)
    return tmp_path / "run"


@pytest.fixture
def exported(run, tmp_path):
    export(run, tmp_path / "model", name="adapted", licence=LICENCE)
    return tmp_path / "model"


def agreement(model, teacher, people):
    """Mean cosine of a model's and the teacher's embeddings of the same crops."""
    crops = [plain_view(crop) for crop in people.crops]
    mine, theirs = (open_embedder(find_model(str(name))) for name in (model, teacher))
    rows = [each.embed(np.stack([view.crop(each.card.crop) for view in crops])) for each in (mine, theirs)]
    return float((rows[0] * rows[1]).sum(axis=1).mean())


def test_the_adapted_model_answers_as_the_old_teacher_would(exported, run, embedder, teacher):
    people = read_people(run / "data")
    assert agreement(exported, teacher, people) > 0.98 > agreement(embedder, teacher, people)


def test_the_card_has_the_old_space_and_the_new_models_way_of_looking(exported, embedder, teacher, people):
    card, new, old = (read_model(folder).card for folder in (exported, embedder, teacher))
    assert (card.role, card.space, card.teacher_model_id) == ("student", old.space, old.model_id)
    assert (card.input, card.crop) == (new.input, new.crop)
    assert card.parameters == _HEAD  # in place of the last layer, which is all that the embedder has
    assert (card.trained.images, card.trained.epochs) == (18, 20)
    assert card.trained.command.startswith(
        f"kd adapt {embedder} {people} --rows features --hidden 16 --drop 0.0 --teacher {teacher}"
    )


def test_the_head_alone_is_what_was_trained(exported, run):
    from safetensors.torch import load_file

    kept = load_file(exported / "model.safetensors")
    assert sorted(kept) == sorted(student_weights(run))
    assert sum(values.numel() for values in kept.values()) == _HEAD


def test_a_file_that_answers_otherwise_is_not_exported(exported):
    with pytest.raises(ExportDiffers):
        check_answers(lambda crops: torch.ones(len(crops), DIM), (exported / "model.onnx").read_bytes(), (112, 112))


def test_both_models_see_the_same_views_and_the_first_is_the_photo_itself(run, adaptation, embedder, teacher):
    people, (file,) = read_people(run / "data"), (run / "data").glob("rows-*.npy")
    rows, viewing = np.load(file), adaptation().viewing
    for number, photo in np.ndindex(rows.shape):
        view = (
            plain_view(people.crops[photo])
            if number == 0
            else augmented_view(people.crops, photo, number, seed=viewing.view_seed, mixup=viewing.mixup)
        )
        new, old = open_trunk(read_model(embedder), "features", threads=1), open_embedder(read_model(teacher))
        for name, model in (("inputs", new), ("targets", old)):
            expected = model.embed(view.crop(model.card.crop)[None])[0]
            assert np.abs(rows[name][number, photo] - expected).max() < 1e-3
        assert rows["share"][number, photo] == np.float32(view.share)
        other = -1 if view.other is None else people.labels[view.other]
        assert rows["people"][number, photo].tolist() == [people.labels[photo], other]


def test_an_epoch_shows_every_photo_once_and_the_next_its_next_view(run):
    (file,) = (run / "data").glob("rows-*.npy")
    rows, order = np.load(file), np.arange(18).reshape(3, 6)
    stream = row_batches(rows, lambda _: order, start=0, mine=slice(0, 6))
    for epoch in range(3):
        for photos in order:
            batch, numbers = next(stream), (epoch + photos) % 2
            assert np.allclose(batch.inputs, rows["inputs"][numbers, photos], atol=1e-3)
            assert np.allclose(batch.targets, rows["targets"][numbers, photos], atol=1e-3)


def test_batches_are_the_same_wherever_one_begins(run):
    (file,) = (run / "data").glob("rows-*.npy")
    rows = np.load(file)
    order = lambda epoch: np.random.default_rng(epoch).permutation(18).reshape(3, 6)  # noqa: E731
    stream = row_batches(rows, order, start=0, mine=slice(2, 4))
    batches = [next(stream) for _ in range(7)]
    for start in range(7):
        batch = next(row_batches(rows, order, start=start, mine=slice(2, 4)))
        assert np.array_equal(batch.inputs, batches[start].inputs)


def test_a_view_is_embedded_once_for_every_run_that_shares_the_data(run, adaptation, tmp_path, monkeypatch):
    monkeypatch.setattr(ModelEmbedder, "embed", lambda *_: pytest.fail("embedded again"))
    adapt(adaptation(epochs=21), run, tell=print)
    assert trained_steps(run) == 21 * 3
    adapt(adaptation(sampler="class-uniform", hidden=0), tmp_path / "other", tell=print, data=run / "data")


def test_embedding_that_was_interrupted_goes_on_where_it_was(adaptation, tmp_path, monkeypatch):
    whole, seen = ModelEmbedder.embed, []

    def dying(self, crops):
        seen.append(len(crops))
        if len(seen) == 4:  # the teacher's class means, then two of the rows' chunks of 16 by two models
            raise SystemExit
        return whole(self, crops)

    monkeypatch.setattr("kd.data.rows._CHUNK", 16)
    with monkeypatch.context() as patched:
        patched.setattr(ModelEmbedder, "embed", dying)
        with pytest.raises(SystemExit):
            adapt(adaptation(), tmp_path, tell=print)
    seen.clear()
    monkeypatch.setattr(ModelEmbedder, "embed", lambda self, crops: seen.append(len(crops)) or whole(self, crops))
    adapt(adaptation(), tmp_path, tell=print)
    assert sum(seen) == 2 * (2 * 18 - 16)


def test_a_run_that_was_killed_goes_on_exactly(adaptation, tmp_path, monkeypatch):
    settings = adaptation(epochs=4, drop=0.5, ema=0.5)
    adapt(settings, tmp_path / "whole", tell=print)
    monkeypatch.setattr("kd.distil._SAVE_EVERY", 5)
    with monkeypatch.context() as patched:
        patched.setattr("kd.train.rate_at", dying_at_step(7))
        with pytest.raises(SystemExit):
            adapt(settings, tmp_path / "halves", tell=print)
    adapt(settings, tmp_path / "halves", tell=print)
    whole, resumed = student_weights(tmp_path / "whole"), student_weights(tmp_path / "halves")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_linear_head_on_the_embedding_is_a_head(adaptation, embedder, tmp_path):
    adapt(adaptation(hidden=0, rows="embedding"), tmp_path / "run", tell=print)
    card = export(tmp_path / "run", tmp_path / "model", name="linear", licence=LICENCE)
    assert sorted(student_weights(tmp_path / "run")) == ["linear.bias", "linear.weight"]
    assert card.parameters == read_model(embedder).card.parameters + DIM * DIM + DIM


def test_an_adapted_model_can_be_kept_in_half_the_room(run, exported, tmp_path):
    export(run, tmp_path / "half", name="half", licence=LICENCE, half=True)
    crops = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), dtype=np.uint8)
    whole, half = (open_embedder(read_model(folder)).embed(crops) for folder in (exported, tmp_path / "half"))
    assert np.abs(whole - half).max() < 1e-2


def test_the_settings_are_kept_and_are_no_students(run, adaptation):
    assert load_settings(run) == adaptation(epochs=20)
    with pytest.raises(CheckpointMismatch, match="trained no network of its own"):
        load_config(run)


def test_another_run_in_the_same_folder_is_refused(run, adaptation, config):
    with pytest.raises(CheckpointMismatch, match="hidden was 16"):
        adapt(adaptation(epochs=20, hidden=8), run, tell=print)
    with pytest.raises(CheckpointMismatch, match="embedder was"):
        distil(config(), run, tell=print)


def test_the_old_teacher_itself_needs_no_head(adaptation, teacher, tmp_path):
    with pytest.raises(AdaptRefused, match="of the old Space already"):
        adapt(adaptation(embedder=str(teacher)), tmp_path, tell=print)


def test_without_a_teacher_there_is_no_space_to_adapt_to(adaptation, tmp_path):
    with pytest.raises(AdaptRefused, match="Give --teacher"):
        adapt(adaptation(teacher=None, method="none"), tmp_path, tell=print)


def test_fewer_faces_than_a_batch_are_refused(adaptation, tmp_path):
    with pytest.raises(DataUnusable, match="fewer faces than one batch: 18"):
        adapt(adaptation(batch=64), tmp_path, tell=print)


def test_a_file_that_is_no_model_is_refused(adaptation, tmp_path):
    (tmp_path / "face.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsUnreadable, match="does not open as an ONNX model"):
        adapt(adaptation(embedder=f"onnx:{tmp_path / 'face.onnx'}"), tmp_path / "run", tell=print)
    with pytest.raises(ModelUnknown, match="no such Model"):
        adapt(adaptation(embedder="nobody"), tmp_path / "run", tell=print)


@pytest.mark.real
def test_mobilefacenet_is_carried_into_dlibs_space(shared, adaptation, tmp_path):
    """Learnt from a hundred people, judged on photos of ten others."""
    folders = sorted(path for path in (shared / "data/train/lfw").iterdir() if len(list(path.iterdir())) > 1)
    for name, chosen in (("learnt", folders[:100]), ("others", folders[100:110])):
        (tmp_path / name).mkdir()
        for folder in chosen:
            (tmp_path / name / folder.name).symlink_to(folder)
    newer = f"onnx:{shared / 'models/mobilefacenet_ms1m.onnx'}?colour=RGB&mean=127.5&scale=128"
    settings = {"teacher": "dlib", "views": 1, "batch": 64, "epochs": 10, "scale": 32.0}
    adapt(adaptation(embedder=newer, photos=(str(tmp_path / "learnt"),), **settings), tmp_path / "run", tell=print)
    export(tmp_path / "run", tmp_path / "model", name="adapted", licence=LICENCE)
    others = prepare_people([tmp_path / "others"], tmp_path / "faces", lambda: pytest.fail("these are crops"))
    assert agreement(tmp_path / "model", "dlib", others) > 0.96
