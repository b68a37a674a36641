"""dlib's network as a student: it begins as its teacher, and blocks can be left out."""

import numpy as np
import pytest
import torch
from torch import nn

from faces.errors import WeightsMissing
from faces.models import dlib_weights, find_model
from faces.runtime import load_network
from faces.weights.dlib import read_dlib_network
from kd.backbones.dlibnet import DLIB_VARIANTS, DlibNet, dlib_state, dlib_student

CROPS = np.random.default_rng(0).integers(0, 256, (3, 150, 150, 3)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def weights():
    try:
        return dlib_weights()
    except WeightsMissing as missing:
        pytest.skip(str(missing))


def as_student(crops):
    """What a student's card says: (x - 127.5) / 128."""
    return torch.from_numpy((crops - 127.5) / 128).permute(0, 3, 1, 2)


def test_with_nothing_left_out_it_answers_as_its_teacher():
    teacher = find_model("dlib")
    given = teacher.card.input
    prepared = ((CROPS - np.array(given.mean)) / given.scale).transpose(0, 3, 1, 2)
    (expected,) = load_network(teacher.onnx, threads=1).run(np.ascontiguousarray(prepared, dtype=np.float32))
    with torch.inference_mode():
        found = dlib_student(150, 128)(as_student(CROPS))
    assert np.abs(found.numpy() - expected).max() < 1e-5


def test_a_blocks_shortcut_stays_when_its_convolutions_go():
    whole, without = dlib_student(150, 128), dlib_student(150, 128, left_out=("4b", "1a"))
    for block in (whole.blocks.get_submodule("4b"), whole.blocks.get_submodule("1a")):
        nn.init.zeros_(block.second.weight)
        nn.init.zeros_(block.second.bias)
    with torch.inference_mode():
        assert torch.allclose(whole(as_student(CROPS)), without(as_student(CROPS)), atol=1e-6)


@pytest.mark.parametrize("left_out", DLIB_VARIANTS.values())
@pytest.mark.parametrize("side", [103, 112, 150])
def test_a_crop_of_any_side_from_103_becomes_one_embedding(left_out, side):
    with torch.device("meta"):
        assert DlibNet(64, left_out)(torch.zeros(2, 3, side, side)).shape == (2, 64)


def test_every_parameter_is_trained():
    assert all(values.requires_grad for values in dlib_student(150, 128).parameters())


@pytest.mark.parametrize("name", DLIB_VARIANTS)
def test_a_variant_is_named_for_the_convolutions_that_are_left(name):
    network = dlib_student(150, 128, left_out=DLIB_VARIANTS[name])
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    assert name == ("dlibnet" if convolutions == 29 else f"dlibnet-{convolutions}")


def test_what_a_variant_keeps_is_the_teachers(weights):
    whole = dlib_state(read_dlib_network(weights))
    kept = dlib_student(150, 128, left_out=("0a", "1c")).state_dict()
    assert set(whole) - set(kept) == {
        f"blocks.{block}.{part}.{kind}"
        for block in ("0a", "1c")
        for part in ("first", "second")
        for kind in ("weight", "bias")
    }
    assert all(torch.equal(values, whole[name]) for name, values in kept.items())


def test_every_filter_has_about_the_size_of_a_fresh_ones(weights):
    """So that one learning rate does for all of them: dlib's own, without their gains, are up to 60 times smaller."""
    state, fresh = dlib_state(read_dlib_network(weights)), DlibNet()
    for name, module in fresh.named_modules():
        if isinstance(module, nn.Conv2d):
            kaiming = (2 / module.weight[0].numel()) ** 0.5
            assert 0.09 < state[f"{name}.weight"].square().mean().sqrt() / kaiming < 2


def test_another_dimension_keeps_all_but_the_projection():
    one, other = dlib_student(150, 128).state_dict(), dlib_student(150, 256).state_dict()
    assert [name for name in one if one[name].shape != other[name].shape] == ["project.weight"]
    assert torch.equal(one["blocks.0a.second.weight"], other["blocks.0a.second.weight"])
