"""A network that begins as a smaller one of its make computes what that one computes."""

import torch

from kd.backbones.slimresnet import SlimResNet
from kd.checkpoint import begin_from


def test_a_wider_and_deeper_network_begins_where_the_smaller_one_ended(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr("kd.backbones.slimresnet._STAGES", ((16, 1), (24, 1)))
    monkeypatch.setattr("kd.backbones.slimresnet._TOTAL_STRIDE", 8)
    small = SlimResNet(32, 8, 0.5).train()
    crops = torch.randn(4, 3, 32, 32)
    small(crops)  # moves the running statistics
    monkeypatch.setattr("kd.backbones.slimresnet._STAGES", ((16, 1), (24, 3)))
    large = SlimResNet(32, 8, 1.0)
    begin_from(large, small.state_dict())
    assert sum(values.numel() for values in large.parameters()) > 2 * sum(v.numel() for v in small.parameters())
    assert torch.allclose(small.eval()(crops), large.eval()(crops), atol=1e-5)
