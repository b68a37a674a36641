"""Pairs are made of the rows of all ranks: two ranks learn what one would."""

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.testing import assert_close

from kd.losses.cckd import Cckd
from kd.losses.ekd import Ekd
from kd.losses.multistep import Multistep
from kd.losses.rkd import Rkd
from tests.kd.losses.relational import setting, step, unit_rows

pytest_plugins = ["tests.kd.ranks"]

METHODS = (Cckd, Rkd, Ekd, Multistep)
LABELS = [0, 1, 0, 2, 1, 2]


def lesson(rows):
    """Of each method on these rows of a batch: the loss, and its gradient at a network of one layer."""
    found = []
    photos, teacher = unit_rows(6, seed=2), unit_rows(6, seed=1)
    teacher[4] = torch.nan
    for method in METHODS:
        network = unit_rows(4, seed=3).requires_grad_()
        loss = method(setting())(step(F.normalize(photos[rows] @ network), teacher[rows], LABELS[rows]))
        loss.backward()
        found.append(torch.stack([loss.detach(), *network.grad.flatten()]))
    return torch.stack(found)


def half_of_it(photos):
    return lesson(slice(dist.get_rank() * photos, (dist.get_rank() + 1) * photos))


@pytest.fixture(scope="module")
def two_ranks(ranks):
    """(methods, 1 + 16): loss and gradient, averaged over ranks as DistributedDataParallel does."""
    return sum(ranks.run(2, half_of_it, 3)) / 2


@pytest.mark.parametrize("number", range(len(METHODS)), ids=[method.__name__ for method in METHODS])
def test_two_ranks_learn_what_one_does(two_ranks, number):
    assert_close(two_ranks[number], lesson(slice(0, 6))[number])
