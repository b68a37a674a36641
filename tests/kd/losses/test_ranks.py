"""Two ranks, each with a part of a batch and a shard of the classifier, learn what one would."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import multiprocessing
from torch.testing import assert_close

from kd.head import FrozenHead
from kd.losses import METHODS
from tests.kd.losses.parts import DIM, inherited, setting, step, student_rows, unit_rows

LABELS = [0, 3, 1, -1, 3, 1, 4]
SECOND = [-1, -1, -1, -1, 2, -1, -1]
SHARE = [1.0, 1.0, 1.0, 1.0, 0.8, 1.0, 1.0]
PARTS = (slice(0, 2), slice(2, 7))


def lesson(rows):
    """Of each method on these rows of a batch: its loss, its gradients, and what it remembers."""
    found = {}
    near = F.normalize(inherited().of(torch.tensor(LABELS)) + 0.8 * unit_rows(7, seed=1))
    theirs = near.float().index_fill_(0, torch.tensor([3, 5]), torch.nan)
    for name, method in METHODS.items():
        torch.manual_seed(0)
        loss = method(setting(FrozenHead(inherited().rows, sharded=True)))
        network = unit_rows(DIM, seed=3).float().requires_grad_()
        raw = student_rows(7).float()[rows] @ network
        value = loss(step(raw, LABELS[rows], theirs[rows], second=SECOND[rows], share=SHARE[rows]))
        value.backward()
        gradients = [weights.grad for weights in (network, *loss.parameters())]
        found[name] = [value.detach(), *gradients, *loss.state_dict().values()]
    return found


def one_of_two(number, folder):
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # by itself gloo takes what the network says of this machine's name
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=number, world_size=2)
    torch.save(lesson(PARTS[number]), Path(folder) / f"{number}.pt")
    dist.barrier()  # or the first to be done leaves while the other still listens to it
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """For each method the mean of both ranks' findings, as DistributedDataParallel takes it of gradients."""
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(one_of_two, args=(str(folder),), nprocs=2)
    first, second = (torch.load(folder / f"{number}.pt") for number in range(2))
    return {name: [(a + b) / 2 for a, b in zip(first[name], second[name], strict=True)] for name in METHODS}


@pytest.fixture(scope="module")
def one_rank():
    return lesson(slice(0, 7))


@pytest.mark.parametrize("name", METHODS)
def test_two_ranks_learn_what_one_does(two_ranks, one_rank, name):
    assert_close(two_ranks[name], one_rank[name], rtol=1e-4, atol=1e-4)
