"""What `kd models` prints of a backbone."""

import pytest
from rich.console import Console
from torch import nn

from kd.backbones import build_backbone
from kd.backbones.summary import as_table, cost, count_flops
from kd.errors import UnknownName


def test_flops_are_twice_the_multiply_accumulates_of_convolutions_and_products():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),  # 8 × 8 places, 8 × 3 × 3 × 3 each
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8),  # 4 × 4 places, 8 × 3 × 3 each
        nn.Flatten(),
        nn.Linear(128, 10),
    ).eval()
    assert count_flops(network, 8) == 2 * (64 * 8 * 27 + 16 * 8 * 9 + 128 * 10)


@pytest.fixture(scope="module")
def row():
    return cost("slimresnet", dim=16, width=0.25, rounds=1)


def test_a_backbone_is_measured_at_the_side_that_it_was_made_for(row):
    network = build_backbone("slimresnet", 96, 16, 0.25).eval()
    assert (row.name, row.side) == ("slimresnet", 96)
    assert row.parameters == sum(values.numel() for values in network.parameters())
    assert row.flops == 2 * row.macs == count_flops(network, 96)
    assert row.milliseconds > 0


def test_mobilefacenet_has_the_multiply_accumulates_of_its_paper():
    network = build_backbone("mobilefacenet-prelu", 112, 128, 1.0).eval()
    assert count_flops(network, 112) / 2e6 == pytest.approx(221, rel=0.02)


def test_the_table_has_both_figures(row):
    console = Console(width=120, record=True)
    console.print(as_table([row]))
    text = console.export_text()
    assert "million MACs" in text
    assert "million FLOPs" in text
    assert "slimresnet" in text


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownName):
        cost("resnet")
