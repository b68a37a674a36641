"""Student networks: their sizes and shapes."""

import pytest
import torch

from kd.backbones import BACKBONES, build_backbone
from kd.errors import UnknownName


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize(("side", "dim", "width"), [(112, 128, 0.5), (96, 64, 1.0), (75, 32, 0.25)])
def test_a_crop_of_any_side_becomes_one_embedding(name, side, dim, width):
    network = build_backbone(name, side, dim, width).eval()
    assert network(torch.zeros(2, 3, side, side)).shape == (2, dim)


@pytest.mark.parametrize(
    ("name", "side", "width", "parameters"),
    [("slimresnet", 96, 1.0, 321_776), ("mobilefacenet", 112, 0.5, 347_520)],
)
def test_parameters_are_what_the_documentation_says(name, side, width, parameters):
    network = build_backbone(name, side, 128, width)
    assert sum(values.numel() for values in network.parameters()) == parameters


def test_an_unknown_backbone_is_answered_with_the_names():
    with pytest.raises(UnknownName, match=r"Choose from mobilefacenet, slimresnet\."):
        build_backbone("resnet", 112, 128, 1.0)
