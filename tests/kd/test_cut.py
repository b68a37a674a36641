"""A student that begins as its teacher's own network, cut: nothing is lost that it has room for."""

import pytest
import torch

from kd.backbones.mobilefacenet import FoldedMobileFaceNet
from kd.backbones.slimresnet import SlimResNet
from kd.begin import begin_with
from kd.cut import cut, folded_weights
from kd.errors import CheckpointMismatch
from kd.export import to_onnx
from kd.imports.foreign import import_onnx

SIDE, DIM = 32, 16


def network(width=1.0, side=SIDE, seed=0):
    torch.manual_seed(seed)
    return FoldedMobileFaceNet(side, DIM, width).eval()


@pytest.fixture
def crops():
    return torch.randn(24, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def answers(student, crops):
    return student(crops)


def test_the_weights_of_an_onnx_file_are_those_that_it_was_made_of():
    teacher = network()
    found = folded_weights(to_onnx(teacher, SIDE), network(seed=1))
    assert found.keys() == teacher.state_dict().keys()
    assert all(torch.equal(found[name], values) for name, values in teacher.state_dict().items())


def test_as_wide_as_its_teacher_the_student_answers_as_the_teacher(crops):
    teacher, student = network(), network(seed=1)
    cut(teacher, student, crops)
    expected = answers(teacher, crops)
    assert (answers(student, crops) - expected).abs().max() < 0.02 * expected.std()


def test_channels_that_do_nothing_are_the_ones_left_out(crops):
    teacher, student = network(), network(0.5, seed=1)
    with torch.no_grad():
        for block in [layer for layer in teacher.features if hasattr(layer, "trunk")]:
            block.trunk[-1].weight[:, ::2] = 0
        teacher.head.project.weight[:, 1::2] = 0
    cut(teacher, student, crops)
    expected = answers(teacher, crops)
    assert (answers(student, crops) - expected).abs().max() < 0.02 * expected.std()


def test_what_is_cut_begins_nearer_to_its_teacher_than_chance(crops):
    teacher, student = network(), network(0.5, seed=1)
    expected, by_chance = answers(teacher, crops), answers(student, crops)
    cut(teacher, student, crops)
    nearer, before = (
        torch.cosine_similarity(found - found.mean(0), expected - expected.mean(0)).mean()
        for found in (answers(student, crops), by_chance)
    )
    assert nearer > 0.5 > before


@pytest.fixture
def teacher(tmp_path):
    """A Model folder as `kd teacher import` makes it; options as it takes them."""
    file = tmp_path / "teacher.onnx"
    file.write_bytes(to_onnx(network(), SIDE))

    def imported(**options):
        import_onnx(file, tmp_path / "teacher", {"size": str(SIDE), **options}, sha256=None)
        return tmp_path / "teacher"

    return imported


def test_a_student_begins_from_the_folder_of_an_imported_teacher(teacher, crops):
    student = network(0.5, seed=1)
    begin_with(student, teacher(mean="127.5", scale="128"), lambda: crops)
    expected = network(0.5, seed=1)
    cut(network(), expected, crops)
    assert torch.allclose(answers(student, crops), answers(expected, crops), atol=1e-5)


def test_a_teacher_that_takes_another_input_is_refused(teacher, crops):
    with pytest.raises(CheckpointMismatch, match=r"a Model that takes.*BGR"):
        begin_with(network(), teacher(colour="BGR", mean="127.5", scale="128"), lambda: crops)


@pytest.mark.parametrize(
    ("side", "dim", "width", "tensor"),
    [
        (64, DIM, 1.0, "head.weigh"),
        (16, DIM, 1.0, "head.weigh"),
        (SIDE, 8, 1.0, "head.project"),
        (SIDE, 32, 0.5, "head.project"),
        (SIDE, DIM, 1.5, "trunk"),
    ],
)
def test_a_student_that_the_teacher_has_no_room_for_is_refused_before_a_face_is_seen(teacher, side, dim, width, tensor):
    student = FoldedMobileFaceNet(side, dim, width)
    with pytest.raises(
        CheckpointMismatch, match=rf"no part of the Model.*{tensor}.*Begin with --side {SIDE}, a --width up to 1"
    ):
        begin_with(student, teacher(mean="127.5", scale="128"), pytest.fail)


def test_a_network_that_cannot_be_laid_into_says_which_can(teacher, crops):
    torch.manual_seed(0)
    with pytest.raises(CheckpointMismatch, match="--backbone mobilefacenet-folded"):
        begin_with(SlimResNet(SIDE, DIM, 0.25), teacher(), lambda: crops)


def test_a_teacher_of_another_make_is_refused():
    torch.manual_seed(0)
    with pytest.raises(CheckpointMismatch, match="an ONNX model of another network"):
        folded_weights(to_onnx(SlimResNet(SIDE, DIM, 0.25).eval(), SIDE), network())


def test_what_is_no_onnx_file_is_refused():
    with pytest.raises(CheckpointMismatch, match="not an ONNX model"):
        folded_weights(b"\x00\x01 not a model", network())
