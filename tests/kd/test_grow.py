"""A network that begins as a smaller one of its make computes what that one computes."""

import pytest
import torch

from kd.backbones.dlibnet import DLIB_VARIANTS, DlibNet
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


@pytest.mark.parametrize("side", [103, 112, 150])
@pytest.mark.parametrize("left_out", [*DLIB_VARIANTS.values(), ("4b", "1a")][1:], ids="-".join)
def test_a_dlibnet_with_more_blocks_begins_where_the_one_with_fewer_ended(left_out, side):
    torch.manual_seed(0)
    small, large = DlibNet(8, left_out).eval(), DlibNet(8).eval()
    crops = torch.randn(2, 3, side, side)
    begin_from(large, small.state_dict())
    with torch.inference_mode():
        assert torch.allclose(small(crops), large(crops), atol=1e-6)
