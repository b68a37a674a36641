"""On several ranks, values and gradients are those of one rank that has the whole batch."""

import copy
from datetime import timedelta

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from kd import distributed

pytest_plugins = ["tests.kd.ranks"]

WORLDS = pytest.mark.parametrize("world", [2, 3])


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def share_of(count):
    return distributed.share(count), distributed.rank(), distributed.world()


@WORLDS
@pytest.mark.parametrize("count", [0, 1, 7, 12])
def test_shares_cover_a_batch_once_and_differ_by_one_row_at_most(ranks, world, count):
    answers = ranks.run(world, share_of, count)
    rows = [row for share, _, _ in answers for row in range(count)[share]]
    sizes = [share.stop - share.start for share, _, _ in answers]
    assert rows == list(range(count))
    assert sizes == [count // world + (rank < count % world) for rank in range(world)]
    assert [(rank, size) for _, rank, size in answers] == [(rank, world) for rank in range(world)]


def test_alone_nothing_is_done():
    rows = random(4, 3)
    assert distributed.share(4) == slice(0, 4)
    assert distributed.gather(rows) is rows
    assert distributed.total(rows) is rows


def test_ranks_wait_for_the_first_one_as_long_as_it_prepares(monkeypatch, tmp_path):
    """Millions of photos take days; gloo itself gives up after half an hour."""
    start = torch.distributed.init_process_group
    alone = {"init_method": f"file://{tmp_path / 'meeting'}", "rank": 0, "world_size": 1}
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setattr("torch.distributed.init_process_group", lambda *names, **given: start(*names, **given, **alone))
    with distributed.together():
        backend = torch.distributed.group.WORLD._get_backend(torch.device("cpu"))
        assert backend.options._timeout > timedelta(days=7)


def gather_of(rows):
    mine = rows[distributed.share(len(rows))].clone().requires_grad_()
    everybody = distributed.gather(mine)
    here = distributed.gathered_here(len(mine), mine.device)
    (everybody.prod(dim=1).sum() / distributed.world()).backward()  # every rank the same loss; DDP takes the mean
    return everybody.detach(), everybody.detach()[here], mine.grad


@WORLDS
@pytest.mark.parametrize("count", [0, 1, 5, 6])
def test_gathered_rows_are_everybodys_and_their_gradients_go_home(ranks, world, count):
    whole = random(count, 3).requires_grad_()
    whole.prod(dim=1).sum().backward()
    answers = ranks.run(world, gather_of, whole.detach())
    for everybody, _, _ in answers:
        assert_close(everybody, whole.detach(), rtol=0, atol=0)
    assert_close(torch.cat([own for _, own, _ in answers]), whole.detach(), rtol=0, atol=0)
    assert_close(torch.cat([gradient for _, _, gradient in answers]), whole.grad)


def gathered_labels():
    labels = torch.arange(distributed.rank() + 1)
    return distributed.gathered(labels), distributed.gathered(labels > 0)


def test_labels_and_marks_are_gathered_as_they_are(ranks):
    for labels, marks in ranks.run(2, gathered_labels):
        assert labels.tolist() == [0, 0, 1]
        assert marks.tolist() == [False, False, True]


def total_of(values):
    mine = values[distributed.rank()].clone().requires_grad_()
    summed = distributed.total(mine)
    (summed.square().sum() / distributed.world()).backward()
    return summed.detach(), mine.grad, distributed.highest(mine)


@WORLDS
def test_a_total_is_the_sum_and_its_gradient_reaches_every_addend(ranks, world):
    values = random(world, 4)
    for summed, gradient, highest in ranks.run(world, total_of, values):
        assert_close(summed, values.sum(dim=0))
        assert_close(gradient, 2 * values.sum(dim=0))
        assert_close(highest, values.amax(dim=0), rtol=0, atol=0)


def mean_of(values, sizes):
    start = sum(sizes[: distributed.rank()])
    mine = values[start : start + sizes[distributed.rank()]].clone().requires_grad_()
    loss = distributed.mean(mine.square())
    loss.backward()
    return loss.detach(), mine.grad, distributed.moments(mine)


@pytest.mark.parametrize("sizes", [(2, 2), (3, 1), (0, 4), (2, 1, 4), (0, 0, 3)])
def test_a_mean_is_over_rows_not_over_ranks(ranks, sizes):
    values = random(sum(sizes)).requires_grad_()
    values.square().mean().backward()
    answers = ranks.run(len(sizes), mean_of, values.detach(), sizes)
    assert_close(torch.stack([loss for loss, _, _ in answers]).mean(), values.detach().square().mean())
    assert_close(torch.cat([gradient for _, gradient, _ in answers]) / len(sizes), values.grad)
    for _, _, (count, centre, variance) in answers:
        assert count == len(values)
        assert_close(centre, values.detach().mean())
        assert_close(variance, values.detach().var())


def test_a_mean_of_no_rows_anywhere_is_a_differentiable_zero(ranks):
    for loss, gradient, (count, centre, variance) in ranks.run(2, mean_of, torch.zeros(0), (0, 0)):
        assert (float(loss), gradient.shape, count, float(centre), float(variance)) == (0, (0,), 0, 0, 0)


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 5),
        nn.BatchNorm1d(5, affine=False),
    ).double()


def learn(network, images, weights):
    """Two steps' statistics, the gradients of the second, and what the network then says when it does not learn."""
    share = distributed.share(len(images))
    for _ in range(2):
        network.zero_grad()
        outputs = network(images[share])
        distributed.mean((outputs * weights[share]).sum(dim=1)).backward()
    gradients = [distributed.total(parameter.grad) / distributed.world() for parameter in network.parameters()]
    return outputs.detach(), gradients, network.state_dict(), network.eval()(images).detach()


def learn_together(images, weights):
    network = small_network()
    return learn(distributed.synchronised(network), images, weights)


@WORLDS
def test_batch_statistics_are_those_of_the_whole_batch(ranks, world):
    images, weights = random(7, 3, 6, 6).double(), random(7, 5, seed=1).double()
    outputs, gradients, state, judged = learn(small_network(), images, weights)
    answers = ranks.run(world, learn_together, images, weights)
    assert_close(torch.cat([answer[0] for answer in answers]), outputs)
    for _, their_gradients, their_state, their_judged in answers:
        assert_close(their_gradients, gradients)
        assert_close(their_state, dict(state))
        assert_close(their_judged, judged)


def statistics_in_half_precision(images):
    network = distributed.synchronised(nn.Sequential(nn.BatchNorm2d(3)))
    outputs = network(images[distributed.share(len(images))].bfloat16())
    return outputs, network.state_dict()


def test_statistics_of_bfloat16_are_taken_in_float32(ranks):
    images = 100 + random(8, 3, 20, 20)
    alone = nn.Sequential(nn.BatchNorm2d(3))
    alone(images.bfloat16().float())
    for outputs, state in ranks.run(2, statistics_in_half_precision, images):
        assert outputs.dtype == torch.bfloat16
        assert_close(state, dict(alone.state_dict()), rtol=1e-4, atol=1e-4)


def test_alone_a_network_keeps_its_own_layers():
    network = small_network()
    kept = copy.copy(list(network.children()))
    assert all(new is old for new, old in zip(distributed.synchronised(network).children(), kept, strict=True))
