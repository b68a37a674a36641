"""What a student begins with: the weights of another run or Model, or the network of its own teacher, cut."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from faces.models import read_model
from kd.backbones.blocks import MEAN, SCALE
from kd.backbones.mobilefacenet import FoldedMobileFaceNet
from kd.checkpoint import begin_from, initial_weights
from kd.cut import cut, folded_weights
from kd.errors import CheckpointMismatch


def begin_with(student: nn.Module, folder: Path, faces: Callable[[], Tensor]) -> None:
    """Lay into the student what `--init` names: a run or a Model of its make, no larger; or a teacher's ONNX file.

    faces: asked for crops as the student sees them, (n, 3, side, side), where the teacher's network is to be cut.
    Raises CheckpointMismatch when the weights are another network's, or take another input.
    """
    if (folder / "model.onnx").is_file() and not (folder / "model.safetensors").is_file():
        _begin_as_teacher(student, folder, faces)
    else:
        begin_from(student, initial_weights(folder))


def _begin_as_teacher(student: nn.Module, folder: Path, faces: Callable[[], Tensor]) -> None:
    model = read_model(folder)
    seen = model.card.input
    if not isinstance(student, FoldedMobileFaceNet):
        raise CheckpointMismatch("a Model without weights to begin from", str(folder), _FOLDED)
    if (seen.colour, seen.mean, seen.scale) != ("RGB", (MEAN, MEAN, MEAN), SCALE):
        found = f"{seen.colour}, (x - {seen.mean}) / {seen.scale:g}"
        raise CheckpointMismatch("a Model that takes", found, f"A student takes RGB, (x - {MEAN}) / {SCALE:g}.")
    with torch.device("meta"):
        whole = FoldedMobileFaceNet(seen.height, model.card.dim)
    numbers = f"a teacher whose embedding has {model.card.dim} numbers"
    _require_part(student, whole, f"Begin with --side {seen.height}, a --width up to 1, and {numbers}.")
    whole.load_state_dict(folded_weights(model.onnx.read_bytes(), whole), assign=True)
    cut(whole.eval(), student, faces())


def _require_part(student: FoldedMobileFaceNet, whole: FoldedMobileFaceNet, remedy: str) -> None:
    """Raises CheckpointMismatch unless the student is `whole` with channels left out."""
    large = whole.state_dict()
    for name, small in student.state_dict().items():
        room = all(mine <= theirs for mine, theirs in zip(small.shape, large[name].shape, strict=True))
        answers = name.startswith("head.project.") and len(small) != len(large[name])
        if not room or answers or small.shape[2:] != large[name].shape[2:]:
            sizes = f"{name} of {tuple(small.shape)}, not {tuple(large[name].shape)}"
            raise CheckpointMismatch("a student that is no part of the Model, with", sizes, remedy)


_FOLDED: Final = "Begin from one that kd export made, or give --backbone mobilefacenet-folded."
