"""The inherited classifier stays what it was, and cosines mean the same in every space."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kd.head import FrozenHead, mean_cosine, unit


@pytest.fixture
def weights() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((5, 8))).float()


def in_a_cone(weights: torch.Tensor) -> torch.Tensor:
    return unit(weights) + 3 * unit(torch.ones(1, weights.shape[1]))


def test_no_optimiser_can_find_the_weights(weights):
    assert list(FrozenHead(weights).parameters()) == []


def test_weights_of_any_length_give_cosines(weights):
    head, rows = FrozenHead(weights - weights.mean(dim=0)), unit(weights)
    assert_close(head(rows), FrozenHead(10 * (weights - weights.mean(dim=0)))(rows))


def test_the_mean_cosine_is_that_of_all_pairs(weights):
    rows = unit(weights)
    pairs = [float(rows[i] @ rows[j]) for i in range(5) for j in range(5) if i != j]
    assert float(mean_cosine(rows)) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


def test_in_a_cone_two_strangers_are_at_zero_and_a_mate_at_one(weights):
    cone = in_a_cone(weights)
    stretched = FrozenHead(cone)(unit(cone))
    off_diagonal = stretched[~torch.eye(5, dtype=torch.bool)]
    assert_close(stretched.diagonal(), torch.ones(5))
    assert abs(float(off_diagonal.mean())) < 1e-5


def test_where_the_space_is_spread_out_nothing_is_stretched():
    head = FrozenHead(torch.cat([torch.eye(4), -torch.eye(4)]))
    rows = unit(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
    assert_close(head(rows), torch.cat([rows, -rows], dim=1))


def test_a_single_class_is_not_a_cone():
    assert float(FrozenHead(torch.ones(1, 4)).floor) == 0
