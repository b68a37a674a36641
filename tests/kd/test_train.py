"""The loop: what it learns, how its rate moves, and that an interrupted run goes on exactly."""

import errno
import json
import os
from itertools import count
from unittest.mock import Mock

import pytest
import torch

from faces.errors import ModelUnknown
from kd.checkpoint import load_config, student_weights, trained_steps
from kd.distil import distil
from kd.errors import CheckpointMismatch, CheckpointUnwritable, DataUnusable, LossNotFinite, UnknownName
from kd.train import rate_at
from tests.kd.stopping import stop_after

QUIET = {"tell": print}


def run(config, folder):
    distil(config, folder, **QUIET)
    return student_weights(folder)


def test_the_student_comes_nearer_to_its_teacher(config, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr("kd.train.LOOK_EVERY", 1)
    distil(config(epochs=20, mixup=0.0, rate=3e-2), tmp_path, **QUIET)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    losses = [event.value for event in events.Scalars("cosine")]
    assert losses[-1] < losses[0] / 2


def test_equal_runs_give_equal_weights(config, tmp_path):
    one, other = run(config(), tmp_path / "one"), run(config(), tmp_path / "other")
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"method": "none+adadistill", "margin": "curricularface"},
        {"method": "ekd+cosine", "margin": "adaface"},
        {"ema": 0.9, "low_resolution": 0.5, "sampler": "class-uniform", "batch": 4},
        {"backbone": "residual:slimresnet", "method": "residual", "low_resolution": 1.0},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())) or "as it is",
)
def test_a_run_that_was_stopped_within_an_epoch_goes_on_exactly(config, tmp_path, monkeypatch, settings):
    wanted = config(**{"epochs": 4} | settings)
    whole = run(wanted, tmp_path / "whole")
    stop_after(2, monkeypatch, lambda: run(wanted, tmp_path / "halves"))
    assert trained_steps(tmp_path / "halves") == 2
    resumed = run(wanted, tmp_path / "halves")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_run_that_was_killed_goes_on_exactly_from_its_last_checkpoint(config, tmp_path, monkeypatch):
    whole = run(config(epochs=4), tmp_path / "whole")
    monkeypatch.setattr("kd.distil._SAVE_EVERY", 5)
    with monkeypatch.context() as patched:
        patched.setattr("kd.train.rate_at", dying_at_step(7))
        with pytest.raises(SystemExit):
            run(config(epochs=4), tmp_path / "halves")
    assert trained_steps(tmp_path / "halves") == 5
    resumed = run(config(epochs=4), tmp_path / "halves")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def dying_at_step(last):
    def dying(step, steps, plan):
        if step == last:
            raise SystemExit
        return rate_at(step, steps, plan)

    return dying


def test_training_begins_from_given_weights(config, tmp_path):
    begin = run(config(), tmp_path / "first")
    after = run(config(epochs=1, rate=0.0, init=str(tmp_path / "first")), tmp_path / "second")
    assert torch.equal(begin["head.project.weight"], after["head.project.weight"])


def test_the_run_says_what_it_found(config, tmp_path):
    said = []
    distil(config(epochs=1), tmp_path, tell=said.append)
    assert said == [
        "18 faces (0 of them without a label) of 3 people, 0 files without a face; "
        "the teacher knows 100.0% by its class weights"
    ]


def test_another_configuration_in_the_same_folder_is_refused(config, tmp_path):
    run(config(epochs=1), tmp_path)
    with pytest.raises(CheckpointMismatch, match=r"scale was 16\.0"):
        run(config(epochs=1, scale=32.0), tmp_path)


def test_a_command_that_failed_leaves_nothing_in_the_way_of_the_right_one(config, tmp_path):
    with pytest.raises(ModelUnknown):
        run(config(epochs=1, teacher="nobody"), tmp_path)
    run(config(epochs=1), tmp_path)


def test_the_photos_of_another_run_are_not_touched(config, people, tmp_path):
    run(config(epochs=1), tmp_path)
    with pytest.raises(CheckpointMismatch, match="photos was"):
        run(config(epochs=1, photos=(str(people), str(people))), tmp_path)
    run(config(epochs=2), tmp_path)


def test_weights_of_another_network_are_refused(config, tmp_path):
    run(config(epochs=1), tmp_path / "first")
    with pytest.raises(CheckpointMismatch, match="weights of another network"):
        run(config(epochs=1, backbone="mobilefacenet", init=str(tmp_path / "first")), tmp_path / "second")


def test_weights_of_a_narrower_network_grow(config, tmp_path):
    begin = run(config(epochs=1), tmp_path / "first")
    second = run(config(epochs=1, width=0.5, rate=0.0, init=str(tmp_path / "first")), tmp_path / "second")
    grown = second["head.project.weight"]
    old = begin["head.project.weight"]
    assert grown.shape[1] == 2 * old.shape[1]
    assert torch.equal(grown[:, : old.shape[1]], old)
    assert not grown[:, old.shape[1] :].any()


def test_a_run_may_be_given_more_epochs(config, tmp_path):
    run(config(epochs=1), tmp_path)
    run(config(epochs=2), tmp_path)
    assert (trained_steps(tmp_path), load_config(tmp_path).optimisation.epochs) == (6, 2)


def test_a_loss_that_is_not_finite_stops_the_run_names_the_step_and_keeps_the_last_checkpoint(
    config, tmp_path, monkeypatch
):
    run(config(epochs=1), tmp_path)
    seen = count()
    monkeypatch.setattr(
        "kd.losses.cosine.cosine", lambda vectors, _: vectors.sum(dim=1) * (float("nan") if next(seen) else 1.0)
    )
    with pytest.raises(LossNotFinite, match="loss or gradient is not finite at step: 5"):
        run(config(epochs=2), tmp_path)
    assert trained_steps(tmp_path) == 3


def test_a_loss_that_is_not_finite_is_never_saved_at_an_epochs_end_either(config, tmp_path, monkeypatch):
    seen = count()
    monkeypatch.setattr(
        "kd.losses.cosine.cosine", lambda vectors, _: vectors.sum(dim=1) * (float("nan") if next(seen) > 3 else 1.0)
    )
    with pytest.raises(LossNotFinite, match="loss or gradient is not finite at step: 5"):
        distil(config(epochs=3), tmp_path, **QUIET, keep_epochs=True)
    assert trained_steps(tmp_path) == 3
    assert [file.name for file in (tmp_path / "epochs").iterdir()] == ["0000.safetensors"]


def test_nor_are_weights_that_a_gradient_without_a_number_has_spoilt(config, tmp_path, monkeypatch):
    seen = count()

    def spoilt(vectors, _):
        if next(seen) == 5:  # the last step of an epoch; its loss is a number
            vectors.register_hook(lambda slope: slope * float("nan"))
        return vectors.sum(dim=1)

    monkeypatch.setattr("kd.losses.cosine.cosine", spoilt)
    with pytest.raises(LossNotFinite, match="loss or gradient is not finite at step: 6"):
        distil(config(epochs=3), tmp_path, **QUIET, keep_epochs=True)
    assert trained_steps(tmp_path) == 3


def test_a_run_that_is_killed_between_an_epochs_weights_and_its_checkpoint_keeps_them_again(
    config, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        patched.setattr("kd.distil.save_checkpoint", Mock(side_effect=SystemExit))
        with pytest.raises(SystemExit):
            distil(config(epochs=2), tmp_path, **QUIET, keep_epochs=True)
    distil(config(epochs=2), tmp_path, **QUIET, keep_epochs=True)
    assert sorted(file.name for file in (tmp_path / "epochs").iterdir()) == ["0000.safetensors", "0001.safetensors"]


def test_a_run_that_keeps_its_epochs_is_saved_within_them_too_and_goes_on_exactly(config, tmp_path, monkeypatch):
    def run_keeping(folder):
        distil(config(epochs=4), folder, **QUIET, keep_epochs=True)
        return {file.name: file.read_bytes() for file in (folder / "epochs").iterdir()}

    whole = run_keeping(tmp_path / "whole")
    monkeypatch.setattr("kd.distil._SAVE_EVERY", 4)
    with monkeypatch.context() as patched:
        patched.setattr("kd.train.rate_at", dying_at_step(5))
        with pytest.raises(SystemExit):
            run_keeping(tmp_path / "halves")
    assert trained_steps(tmp_path / "halves") == 4
    assert run_keeping(tmp_path / "halves") == whole


def test_a_full_disk_is_said_and_costs_no_checkpoint(config, tmp_path, monkeypatch):
    run(config(epochs=1), tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("kd.checkpoint.write_whole", full_disk)
        with pytest.raises(CheckpointUnwritable, match="No space left on device"):
            run(config(epochs=2), tmp_path)
    assert trained_steps(tmp_path) == 3


def full_disk(path, _data):
    if path.name == "checkpoint.pt":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_the_exported_weights_are_the_average_where_one_is_kept(config, tmp_path):
    plain, averaged = run(config(), tmp_path / "plain"), run(config(ema=0.9), tmp_path / "averaged")
    assert plain.keys() == averaged.keys()
    assert not torch.equal(plain["head.project.weight"], averaged["head.project.weight"])


def test_a_teacher_is_trained_with_a_classifier_of_its_own(config, tmp_path):
    run(config(teacher=None, method="none", dim=12, epochs=2), tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["student"]["head.project.weight"].shape[0] == 12
    assert [values.shape for values in state["criterion"].values() if values.ndim == 2] == [(3, 12)]


def test_a_teacher_learns_by_its_own_classifier_alone(config, tmp_path):
    with pytest.raises(UnknownName, match="A teacher is trained by none"):
        run(config(teacher=None, method="cosine"), tmp_path)


@pytest.mark.parametrize("schedule", ["flat", "cosine", "step"])
def test_every_schedule_falls_and_never_rises(config, schedule):
    plan = config(rate=1.0, schedule=schedule).optimisation
    rates = [rate_at(step, 1000, plan) for step in range(200, 1000)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 2e-3


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_named(config, tmp_path, damage):
    run(config(epochs=1), tmp_path)
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:1000] if damage is None else damage)
    with pytest.raises(CheckpointMismatch, match="not a checkpoint"):
        run(config(epochs=2), tmp_path)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"photos": []}))
    with pytest.raises(CheckpointMismatch, match="no training run"):
        load_config(tmp_path)


def test_fewer_faces_than_a_batch_are_refused(config, tmp_path):
    with pytest.raises(DataUnusable, match="fewer faces than one batch: 18"):
        run(config(batch=64), tmp_path)


def test_the_rate_warms_up_holds_and_falls_to_nothing(config):
    plan = config(rate=1.0, decay=0.4).optimisation
    rates = [rate_at(step, 1000, plan) for step in range(1000)]
    assert rates[:200] == sorted(rates[:200])
    assert rates[200:600] == [1.0] * 400
    assert rates[600:] == sorted(rates[600:], reverse=True)
    assert rates[-1] < 1e-4
