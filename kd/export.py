"""A trained student -> a Model: ONNX that is proved to answer as torch does, safetensors, and a card."""

import logging
import shlex
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from faces.models import find_model
from faces.runtime import Floats, run_in_batches
from faces.space import Input, Licence, ModelCard, Recipe, Space, Training, digest, short_id
from faces.weights.graph import count_parameters
from kd.adapters import Adapter, joined
from kd.backbones.blocks import MEAN, SCALE
from kd.checkpoint import (
    load_settings,
    load_student,
    own_classifier,
    require_prepared,
    student_weights,
    trained_steps,
)
from kd.classifier.files import CLASSIFIER_FILE, classifier_file
from kd.config import AdaptConfig, RunConfig, Settings
from kd.data.people import People, kept_digest, read_people, shown_people
from kd.errors import ExportDiffers
from kd.folder import ONNX_FILE, WEIGHTS_FILE, replace_model
from kd.halves import halved, round_to_halves
from kd.head import unit
from kd.options import ONLY_OF_STUDENTS, option_words
from kd.runtime import open_network
from kd.students import build_student, student_recipe
from kd.trunk import trunk

_TOLERANCE: Final = 1e-4  # of a unit row's elements
_OPSET: Final = 18
_PROBES: Final = 16


def export(run: Path, out: Path, *, name: str, licence: Licence, half: bool = False) -> ModelCard:
    """Write `model.onnx`, `model.safetensors` and `card.json` into `out`; an existing Model there is replaced.

    The weights are those that were trained: of a run of `kd adapt` the head's. A teacher's run has its classifier
    written beside them: the rows of the people it has seen. The card is filled but for `measured`, which
    `kd evaluate --write-card` adds.
    half: keep weights as float16, in half the room; they are rounded first, and what is checked and shipped is that.
    Raises ExportDiffers when the ONNX file and the network differ by more than 1e-4 on random crops, and
    CheckpointMismatch when there is no run, or its prepared faces were replaced by others, whose names and numbers they
    are not; nothing is then written.
    """
    config = load_settings(run)
    require_prepared(run, kept_digest(run / "data"))
    people = shown_people(read_people(run / "data"), config.viewing.photos_each)
    teacher = None if config.distillation.teacher is None else find_model(config.distillation.teacher).card
    made = _adapted(config, run, half) if isinstance(config, AdaptConfig) else _trained(config, run, teacher, half)
    check_answers(made.answer, made.onnx, (made.crop.height, made.crop.width))
    model_id = short_id(digest(made.onnx))
    space = Space(digest(made.onnx), made.dim, made.crop.name) if teacher is None else teacher.space
    card = ModelCard(
        name=name,
        model_id=model_id,
        role="teacher" if teacher is None else "student",
        space=space,
        space_id=space.space_id,
        teacher_model_id=model_id if teacher is None else teacher.model_id,
        input=made.input,
        crop=made.crop,
        dim=space.dim,
        parameters=made.parameters,
        licence=licence,
        trained=_training(config, run, people),
        measured={},
        created=datetime.now(UTC).date().isoformat(),
    )
    weights = {name: _kept(values, half) for name, values in made.trained.state_dict().items()}
    parts = {WEIGHTS_FILE: safetensors.torch.save(weights), ONNX_FILE: made.onnx}
    if teacher is None:
        shown = np.unique(people.labels[people.labels >= 0])  # the rows of others were never anything but negatives
        names = tuple(people.names[label] for label in shown)
        parts[CLASSIFIER_FILE] = classifier_file(out / CLASSIFIER_FILE, own_classifier(run)[shown], names)
    return replace_model(out, parts, card)


def _kept(values: Tensor, half: bool) -> Tensor:
    values = values.contiguous()  # not channels last
    return values.half() if half and values.is_floating_point() else values


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """What a run has made, and what a card says of it."""

    onnx: bytes
    answer: Callable[[Floats], Tensor]
    """What the file should answer: (n, 3, height, width) float32 -> (n, dim)."""
    trained: nn.Module
    input: Input
    crop: Recipe
    dim: int
    parameters: int


def _trained(config: RunConfig, run: Path, teacher: ModelCard | None, half: bool) -> _Made:
    """A network of its own."""
    dim = (config.student.dim or 0) if teacher is None else teacher.dim
    recipe = student_recipe(config.student, None if teacher is None else teacher.crop)
    student = build_student(config.student, dim)
    load_student(student, student_weights(run))
    student.eval()
    if half:
        round_to_halves(student)
    onnx = to_onnx(student, config.student.side)
    return _Made(
        halved(onnx) if half else onnx,
        lambda crops: student(torch.from_numpy(crops)),
        student,
        Input(recipe.height, recipe.width, "RGB", (MEAN, MEAN, MEAN), SCALE),
        recipe,
        dim,
        sum(parameter.numel() for parameter in student.parameters()),
    )


def _adapted(config: AdaptConfig, run: Path, half: bool) -> _Made:
    """A frozen Embedder, and the head that was fitted on it."""
    base, adapter = find_model(config.adaptation.embedder), Adapter.of(student_weights(run))
    beneath = trunk(base.onnx.read_bytes(), config.adaptation.rows)
    if half:
        round_to_halves(adapter)
        beneath = halved(beneath)
    onnx, network = joined(beneath, adapter), open_network(beneath)
    return _Made(
        halved(onnx) if half else onnx,
        lambda crops: adapter(torch.from_numpy(run_in_batches(network, crops)[0])),
        adapter,
        base.card.input,
        base.card.crop,
        len(adapter.linear.weight),
        count_parameters(onnx),
    )


def to_onnx(student: nn.Module, side: int) -> bytes:
    """`input` (n, 3, side, side) float32 -> `embedding` (n, dim), rows not of unit length."""
    example = torch.zeros(2, 3, side, side)  # two, since a first axis of one would be taken as fixed
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells everybody that torchvision is not there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own use of torch's deprecated parts
        program = torch.onnx.export(
            student,
            (example,),
            dynamo=True,
            input_names=["input"],
            output_names=["embedding"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            opset_version=_OPSET,
            verbose=False,
        )
    if program is None:
        raise TypeError("torch.onnx.export gave no program")
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # paths of the machine that exported it
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def check_export(student: nn.Module, onnx: bytes, side: int) -> None:
    """`check_answers` of a network that is torch's throughout."""
    check_answers(lambda crops: student(torch.from_numpy(crops)), onnx, (side, side))


def check_answers(network: Callable[[Floats], Tensor], onnx: bytes, size: tuple[int, int]) -> None:
    """Raises ExportDiffers when unit rows of the serving runtime and of `network` differ by more than 1e-4.

    network: (n, 3, height, width) float32 -> (n, dim). size: height and width.
    """
    crops = np.random.default_rng(0).standard_normal((_PROBES, 3, *size)).astype(np.float32)
    with torch.inference_mode():
        expected = unit(network(crops))
    (answer,) = run_in_batches(open_network(onnx), crops)
    difference = float((unit(torch.from_numpy(answer)) - expected).abs().max())
    if difference > _TOLERANCE:
        raise ExportDiffers("the ONNX file differs from the network by", difference, "Please report this network.")


def command_line(config: Settings) -> str:
    """The command that made the run, but for where it wrote; `--init` is its start as it was named then."""
    words, unsaid = _command(config)
    words += config.photos
    for group in (getattr(config, field.name) for field in fields(config) if field.name != "photos"):
        for setting in fields(group):
            if setting.name not in unsaid:
                words += option_words(setting.name, getattr(group, setting.name))
    return shlex.join(words)


def _command(config: Settings) -> tuple[list[str], frozenset[str]]:
    """How the command begins, and the settings that it has no option for."""
    if isinstance(config, AdaptConfig):
        return ["kd", "adapt", config.adaptation.embedder], frozenset({"embedder"})
    if config.distillation.teacher is None:
        return ["kd", "teacher", "train"], ONLY_OF_STUDENTS
    return ["kd", "train"], frozenset()


def _training(config: Settings, run: Path, people: People) -> Training:
    return Training(
        method=config.distillation.method,
        data=", ".join(Path(root).name for root in config.photos),
        images=len(people.labels),
        epochs=round(trained_steps(run) * config.optimisation.batch / len(people.labels)),
        seed=config.distillation.seed,
        command=command_line(config),
    )
