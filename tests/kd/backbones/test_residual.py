"""A student and its assistant."""

import torch

from kd.backbones import build_backbone

CROPS = torch.randn(4, 3, 32, 32)


def test_both_see_the_same_crop_and_their_sum_is_the_embedding():
    pair = build_backbone("residual:slimresnet", 32, 8, 0.25).eval()
    with torch.inference_mode():
        assert torch.equal(pair(CROPS), pair.student(CROPS) + pair.assistant(CROPS))


def test_in_training_both_are_given_apart():
    pair = build_backbone("residual:slimresnet", 32, 8, 0.25).train()
    halves = pair(CROPS)
    assert halves.shape == (4, 2, 8)
    assert not torch.equal(halves[:, 0], halves[:, 1])
    assert torch.equal(halves[:, 1], pair.assistant(CROPS))


def test_each_learns_from_its_own_half_alone():
    pair = build_backbone("residual:slimresnet", 32, 8, 0.25).train()
    pair(CROPS)[:, 1].sum().backward()
    assert all(values.grad is not None for values in pair.assistant.parameters())
    assert all(values.grad is None or not values.grad.any() for values in pair.student.parameters())
