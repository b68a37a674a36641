"""The loop: what it learns, how its rate moves, and that an interrupted run goes on exactly."""

import json

import pytest
import torch

from faces.errors import ModelUnknown
from kd.checkpoint import load_config, student_weights, trained_steps
from kd.distil import distil
from kd.errors import CheckpointMismatch, DataUnusable, LossNotFinite
from kd.train import rate_at, set_rate

QUIET = {"init": None, "tell": print}


def run(config, folder):
    distil(config, folder, **QUIET)
    return student_weights(folder)


def test_the_student_comes_nearer_to_its_teacher(config, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr("kd.train.LOOK_EVERY", 1)
    distil(config(epochs=60, mixup=0.0, rate=2e-2), tmp_path, **QUIET)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    losses = [event.value for event in events.Scalars("cosine")]
    assert losses[-1] < losses[0] / 2


def test_equal_runs_give_equal_weights(config, tmp_path):
    one, other = run(config(), tmp_path / "one"), run(config(), tmp_path / "other")
    assert all(torch.equal(one[name], other[name]) for name in one)


def interrupt_at_step(last):
    steps = iter(range(last))

    def interrupted(optimizer, rate):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        set_rate(optimizer, rate)

    return interrupted


def test_a_run_that_was_stopped_goes_on_exactly(config, tmp_path, monkeypatch):
    whole = run(config(epochs=4), tmp_path / "whole")
    monkeypatch.setattr("kd.distil._SAVE_EVERY", 5)
    with monkeypatch.context() as patched:
        patched.setattr("kd.train.set_rate", interrupt_at_step(7))
        with pytest.raises(KeyboardInterrupt):
            run(config(epochs=4), tmp_path / "halves")
    assert trained_steps(tmp_path / "halves") == 5
    resumed = run(config(epochs=4), tmp_path / "halves")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_training_begins_from_given_weights(config, tmp_path):
    begin = run(config(), tmp_path / "first")
    distil(config(epochs=1, rate=0.0), tmp_path / "second", init=begin, tell=print)
    after = student_weights(tmp_path / "second")
    assert torch.equal(begin["head.project.weight"], after["head.project.weight"])


def test_the_run_says_what_it_found(config, tmp_path):
    said = []
    distil(config(epochs=1), tmp_path, init=None, tell=said.append)
    assert said == [
        "18 faces (0 of them without a label) of 3 people, 0 files without a face; "
        "the teacher knows 100.0% by its class means"
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
    begin = run(config(epochs=1), tmp_path / "first")
    with pytest.raises(CheckpointMismatch, match="weights of another network"):
        distil(config(epochs=1, width=0.5), tmp_path / "second", init=begin, tell=print)


def test_a_run_may_be_given_more_epochs(config, tmp_path):
    run(config(epochs=1), tmp_path)
    run(config(epochs=2), tmp_path)
    assert (trained_steps(tmp_path), load_config(tmp_path).optimisation.epochs) == (6, 2)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(config, tmp_path, monkeypatch):
    run(config(epochs=1), tmp_path)
    monkeypatch.setattr("kd.losses.cosine", lambda vectors, _: vectors.sum() * float("nan"))
    with pytest.raises(LossNotFinite, match="loss is not finite at step: 6"):
        run(config(epochs=2), tmp_path)
    assert trained_steps(tmp_path) == 3


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
