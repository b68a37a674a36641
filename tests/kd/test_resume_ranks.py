"""Two ranks under torchrun train as one does: the same samples, and losses that agree to rounding."""

import json
import os
import subprocess
import sys

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kd.checkpoint import student_weights, trained_steps
from kd.distil import distil
from tests.kd.stopping import stop_after

PROGRAM = """
import json, sys, warnings
import torch
torch.set_num_threads(1)
import kd.train
kd.train.LOOK_EVERY = 1
from kd.config import RunConfig
from kd.distil import distil
from tests.kd.stopping import stop_after
from pathlib import Path
distil(RunConfig.from_dict(json.loads(sys.argv[1])), Path(sys.argv[2]), tell=print)
"""


def two_ranks(config, folder, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    words = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    words += ["--nproc-per-node", "2", program]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["GLOO_SOCKET_IFNAME"] = "lo"  # ranks meet on this machine, whatever the network says of its name
    done = subprocess.run(
        [sys.executable, *words, json.dumps(config.to_dict()), folder], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]


def losses(folder):
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return [event.value for event in events.Scalars("loss")]


@pytest.mark.parametrize("method", ["proxyless+cosine", "none+cckd+adadistill"])
def test_two_ranks_give_the_losses_of_one(config, tmp_path, monkeypatch, method):
    monkeypatch.setattr("kd.train.LOOK_EVERY", 1)
    wanted = config(method=method, epochs=2)
    distil(wanted, tmp_path / "one", tell=print)
    two_ranks(wanted, tmp_path / "two", tmp_path)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=2e-4)


def test_a_run_of_one_rank_goes_on_with_two(config, tmp_path, monkeypatch):
    wanted = config(epochs=4)
    distil(wanted, tmp_path / "whole", tell=print)
    stop_after(5, monkeypatch, lambda: distil(wanted, tmp_path / "half", tell=print))
    two_ranks(wanted, tmp_path / "half", tmp_path)
    assert trained_steps(tmp_path / "half") == 12
    whole, half = student_weights(tmp_path / "whole"), student_weights(tmp_path / "half")
    assert all(torch.allclose(whole[name], half[name], atol=1e-3) for name in whole if whole[name].is_floating_point())
