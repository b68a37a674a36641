"""A halved Model takes half the room, and computes what the rounded network computes."""

import numpy as np
import torch

from faces.runtime import load_network
from kd.backbones import build_backbone
from kd.export import to_onnx
from kd.halves import halved, round_to_halves


def test_weights_that_float16_can_hold_lose_nothing(tmp_path):
    torch.manual_seed(0)
    network = build_backbone("slimresnet", 32, 16, 0.5).eval()
    before = network(torch.zeros(1, 3, 32, 32))
    round_to_halves(network)
    whole = to_onnx(network, 32)
    (tmp_path / "half.onnx").write_bytes(halved(whole))
    assert len(halved(whole)) < 0.7 * len(whole)
    crops = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(crops)).numpy()
    (answer,) = load_network(tmp_path / "half.onnx").run(crops)
    assert np.allclose(answer, expected, atol=1e-5)
    assert not torch.equal(before, network(torch.zeros(1, 3, 32, 32)))
