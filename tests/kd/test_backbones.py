"""Student networks by name: what each can be asked for, its size, and that the serving runtime answers as it does."""

import pytest
import torch
from torch import nn

from kd.backbones import BACKBONES, build_backbone
from kd.backbones.dlibnet import DlibNet
from kd.backbones.inception import InceptionResnetV1
from kd.backbones.iresnet import IResNet
from kd.backbones.mobilefacenet import FoldedMobileFaceNet, MobileFaceNet
from kd.backbones.pocketnet import PocketNet
from kd.backbones.residual import ResidualPair
from kd.backbones.summary import served
from kd.errors import SizeRefused, UnknownName

FRESH = [name for name in BACKBONES if not name.startswith("dlibnet")]
"""Those that need no weights of another package; the others are in backbones/test_dlibnet.py."""


def on_paper(name, side, dim=128, width=1.0):
    """The network without its numbers: shapes and counts cost nothing."""
    with torch.device("meta"):
        return build_backbone(name, side, dim, width).eval()


def parameters(network):
    return sum(values.numel() for values in network.parameters())


@pytest.mark.parametrize("name", FRESH)
def test_a_crop_becomes_one_embedding_of_the_dimension_that_was_asked_for(name):
    backbone = BACKBONES[name]
    for side, dim in [(backbone.side, 128), (max(backbone.smallest, backbone.step), 32)]:
        assert on_paper(name, side, dim)(torch.zeros(2, 3, side, side, device="meta")).shape == (2, dim)


@pytest.mark.parametrize("name", [name for name, backbone in BACKBONES.items() if backbone.widens])
def test_a_width_multiplier_makes_a_network_thinner(name):
    thin = on_paper(name, 75, width=0.25)
    assert parameters(thin) < 0.5 * parameters(on_paper(name, 75))
    assert thin(torch.zeros(2, 3, 75, 75, device="meta")).shape == (2, 128)


@pytest.mark.parametrize(
    ("name", "side", "dim", "width", "count"),
    [
        ("slimresnet", 96, 128, 1.0, 455_152),
        ("mobilefacenet", 112, 128, 0.5, 347_520),
        ("mobilefacenet-prelu", 112, 128, 1.0, 1_003_136),
        ("mobilefacenet-prelu", 112, 512, 1.0, 1_200_512),
        ("mobilefacenet-folded", 112, 128, 1.0, 993_344),
        ("mobilefacenet-folded", 112, 128, 0.5, 498_816),
        ("pocketnet-s", 112, 128, 1.0, 925_632),
        ("pocketnet-s", 112, 256, 1.0, 991_424),
        ("pocketnet-m", 112, 128, 1.0, 1_686_656),
        ("pocketnet-m", 112, 256, 1.0, 1_752_448),
        ("iresnet-18", 112, 512, 1.0, 24_025_600),
        ("iresnet-34", 112, 512, 1.0, 34_139_328),
        ("iresnet-50", 112, 512, 1.0, 43_590_848),
        ("iresnet-100", 112, 512, 1.0, 65_156_160),
        ("inception-resnet-v1", 160, 512, 1.0, 23_482_624),
        ("residual:slimresnet", 96, 128, 1.0, 2 * 455_152),
    ],
)
def test_parameters_are_those_published_and_documented(name, side, dim, width, count):
    assert parameters(on_paper(name, side, dim, width)) == count


def test_every_parameter_is_trained_but_the_length_of_an_iresnets_embedding():
    frozen = {
        name: [
            key for key, values in on_paper(name, BACKBONES[name].side).named_parameters() if not values.requires_grad
        ]
        for name in FRESH
    }
    assert {name: keys for name, keys in frozen.items() if keys} == {
        f"iresnet-{depth}": ["features.weight"] for depth in (18, 34, 50, 100)
    }


def one_layer():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16))


def short_inception():
    """Every kind of block once: the export of the whole network takes its time."""
    network = InceptionResnetV1(75, 16)
    network.repeat_1, network.repeat_2, network.repeat_3 = (
        network.repeat_1[:1],
        network.repeat_2[:1],
        network.repeat_3[:1],
    )
    return network


SMALL = {
    "mobilefacenet-prelu": (32, lambda: MobileFaceNet(32, 16, 0.25, paper=True)),
    "mobilefacenet-folded": (32, lambda: FoldedMobileFaceNet(32, 16, 0.25)),
    "pocketnet": (32, lambda: PocketNet(32, 16, channels=4, cells=4)),
    "iresnet": (32, lambda: IResNet(32, 16, (1, 1, 1, 1))),
    "inception": (75, short_inception),
    "dlibnet": (103, lambda: DlibNet(16, ("4b", "4c", "3a", "3b", "3c", "3d", "2b", "2c", "1b", "1c"))),
    "residual": (8, lambda: ResidualPair(one_layer(), one_layer())),
}
"""A small network of each kind, and its side; slimresnet itself is exported in test_export.py."""


@pytest.mark.parametrize("kind", SMALL)
def test_the_serving_runtime_answers_as_the_network_does(kind):
    side, build = SMALL[kind]
    torch.manual_seed(0)
    network = settled(build(), side)
    crops = torch.randn(3, 3, side, side)
    with torch.inference_mode():
        expected = network(crops)
    (answer,) = served(network, side).run(crops.numpy())
    assert torch.allclose(torch.from_numpy(answer), expected, atol=1e-4 * float(expected.abs().max()))


def settled(network: nn.Module, side: int) -> nn.Module:
    """With running statistics of its own, so that an export that ignored them would be found."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 3, side, side))
    return network.eval()


@pytest.mark.parametrize("name", ["resnet", "residual:resnet", "residual:residual:slimresnet", "residual:"])
def test_an_unknown_backbone_is_answered_with_the_names(name):
    with pytest.raises(UnknownName, match=r"Choose from dlibnet, .*, slimresnet, or residual:NAME\.") as error:
        build_backbone(name, 112, 128, 1.0)
    assert error.value.value == name


@pytest.mark.parametrize(
    ("name", "side", "remedy"),
    [
        ("pocketnet-s", 100, "Give a side of at least 16 and divisible by 16; it was made for 112."),
        ("residual:pocketnet-m", 120, "Give a side of at least 16 and divisible by 16; it was made for 112."),
        ("slimresnet", 8, "Give a side of at least 16; it was made for 96."),
        ("inception-resnet-v1", 74, "Give a side of at least 75; it was made for 160."),
        ("dlibnet", 102, "Give a side of at least 103; it was made for 150."),
    ],
)
def test_a_side_that_a_network_cannot_take_is_refused(name, side, remedy):
    with pytest.raises(SizeRefused) as error:
        build_backbone(name, side, 128, 1.0)
    assert (error.value.value, error.value.remedy) == (side, remedy)


@pytest.mark.parametrize(
    ("name", "width"),
    [("pocketnet-s", 0.5), ("dlibnet", 2.0), ("slimresnet", 0.0), ("slimresnet", -1), ("slimresnet", 1e9)],
)
def test_a_width_that_a_network_cannot_have_is_refused(name, width):
    with pytest.raises(SizeRefused, match="has no width of") as error:
        build_backbone(name, 112, 128, width)
    assert error.value.value == width
