"""IResNet has the tensors of insightface's published `backbone.pth`."""

import torch

from kd.backbones.iresnet import IRESNET_BLOCKS, IResNet

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def published_names(blocks):
    """As arcface_torch's iresnet.py spells them."""
    names = ["conv1.weight", "prelu.weight", "fc.weight", "fc.bias"]
    norms = ["bn1", "bn2", "features"]
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            at = f"layer{stage}.{block}"
            names += [f"{at}.conv1.weight", f"{at}.prelu.weight", f"{at}.conv2.weight"]
            norms += [f"{at}.bn1", f"{at}.bn2", f"{at}.bn3"]
        names.append(f"layer{stage}.0.downsample.0.weight")
        norms.append(f"layer{stage}.0.downsample.1")
    return {*names, *(f"{norm}.{part}" for norm in norms for part in NORM)}


def test_names_are_the_published_ones():
    for blocks in IRESNET_BLOCKS.values():
        with torch.device("meta"):
            state = IResNet(112, 512, blocks).state_dict()
        assert set(state) == published_names(blocks)
        assert state["fc.weight"].shape == (512, 25_088)


def test_the_map_before_the_last_layer_follows_the_side():
    with torch.device("meta"):
        assert IResNet(64, 128, (1, 1, 1, 1)).fc.in_features == 512 * 4 * 4
