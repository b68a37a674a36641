"""Teachers in the making: the stages of a teacher's run, over one network."""

import numpy as np
import pytest
import safetensors.torch
import torch

from kd import oracles
from kd.checkpoint import save_config
from kd.students import build_student

DIM, STAGES = 12, 3


@pytest.fixture
def run(config, tmp_path):
    """A teacher's run that kept its epochs, each by chance."""
    settings = config(teacher=None, method="none", dim=DIM)
    save_config(tmp_path, settings)
    (tmp_path / "epochs").mkdir()
    for stage in range(STAGES):
        torch.manual_seed(stage)
        student = build_student(settings.student, DIM)
        weights = {name: values.contiguous() for name, values in student.state_dict().items()}
        (tmp_path / "epochs" / f"{stage:04}.safetensors").write_bytes(safetensors.torch.save(weights))
    return tmp_path


@pytest.fixture
def crops():
    return np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


def test_one_network_is_built_for_all_stages(run, monkeypatch):
    built = []
    monkeypatch.setattr("kd.oracles.build_student", lambda *given: built.append(given) or build_student(*given))
    assert len(oracles.epoch_teachers(run, DIM)) == STAGES
    assert len(built) == 1


def test_each_stage_answers_by_its_own_weights_in_whatever_order_they_are_asked(run, crops):
    alone = [oracles.epoch_teachers(run, DIM)[stage].embed(crops) for stage in range(STAGES)]
    assert not np.allclose(alone[0], alone[1], atol=1e-3)
    stages = oracles.epoch_teachers(run, DIM)
    for stage in (2, 0, 0, 1, 2):
        assert np.array_equal(stages[stage].embed(crops), alone[stage])
