"""A trained student -> a Model: ONNX that is proved to answer as torch does, safetensors, and a card."""

import logging
import shlex
import warnings
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.torch
import torch
from torch import nn

from faces.files import write_whole
from faces.models import find_model, read_model
from faces.runtime import load_network
from faces.space import Input, Licence, ModelCard, Training, digest, short_id
from kd.checkpoint import load_config, student_weights, trained_steps
from kd.config import Distillation, Optimisation, RunConfig, Student
from kd.data.people import read_people
from kd.distil import build_student, student_recipe
from kd.errors import ExportDiffers
from kd.head import unit
from kd.train import MEAN, SCALE

_TOLERANCE: Final = 1e-4  # of a unit row's elements
_OPSET: Final = 18
_PROBES: Final = 16


def export(run: Path, out: Path, *, name: str, licence: Licence) -> ModelCard:
    """Write `model.onnx`, `model.safetensors` and `card.json` into `out`; an existing Model there is replaced.

    The card is filled but for `measured`, which `kd evaluate --write-card` adds. Raises ExportDiffers when the ONNX
    file and the network differ by more than 1e-4 on random crops; nothing is then written.
    """
    config = load_config(run)
    teacher = find_model(config.distillation.teacher).card
    recipe = student_recipe(config.student, teacher)
    student = build_student(config.student, teacher.dim)
    student.load_state_dict(student_weights(run))
    student.eval()
    onnx = to_onnx(student, config.student.side)
    out.mkdir(parents=True, exist_ok=True)
    check_export(student, onnx, config.student.side, out)
    card = ModelCard(
        name=name,
        model_id=short_id(digest(onnx)),
        role="student",
        space=teacher.space,
        space_id=teacher.space_id,
        teacher_model_id=teacher.model_id,
        input=Input(recipe.height, recipe.width, "RGB", (MEAN, MEAN, MEAN), SCALE),
        crop=recipe,
        dim=teacher.dim,
        parameters=sum(parameter.numel() for parameter in student.parameters()),
        licence=licence,
        trained=_training(config, run),
        measured={},
        created=datetime.now(UTC).date().isoformat(),
    )
    (out / "card.json").unlink(missing_ok=True)  # a card never stands beside a file that it does not describe
    weights = {name: values.contiguous() for name, values in student.state_dict().items()}  # not channels last
    write_whole(out / "model.safetensors", safetensors.torch.save(weights))
    write_whole(out / "model.onnx", onnx)
    write_whole(out / "card.json", card.to_json().encode())
    return read_model(out).card


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


def check_export(student: nn.Module, onnx: bytes, side: int, folder: Path) -> None:
    """Raises ExportDiffers when unit rows of the serving runtime and of torch differ by more than 1e-4."""
    crops = np.random.default_rng(0).standard_normal((_PROBES, 3, side, side)).astype(np.float32)
    with torch.inference_mode():
        expected = unit(student(torch.from_numpy(crops)))
    probe = folder / "model.onnx.check"
    probe.write_bytes(onnx)
    try:
        (answer,) = load_network(probe).run(crops)
    finally:
        probe.unlink()
    difference = float((unit(torch.from_numpy(answer)) - expected).abs().max())
    if difference > _TOLERANCE:
        raise ExportDiffers("the ONNX file differs from the network by", difference, "Please report this backbone.")


def command_line(config: RunConfig) -> str:
    """The `kd train` command that made the run, but for where it wrote."""
    words = ["kd", "train", *config.photos]
    for group in (Student, Distillation, Optimisation):
        values = getattr(config, group.__name__.lower())
        for field in fields(group):
            value = getattr(values, field.name)
            option = "--" + field.name.replace("_", "-")
            words += ([option] if value else []) if isinstance(value, bool) else [option, str(value)]
    return shlex.join(words)


def _training(config: RunConfig, run: Path) -> Training:
    people = read_people(run / "data")
    return Training(
        method=config.distillation.method,
        data=", ".join(Path(root).name for root in config.photos),
        images=len(people.labels),
        epochs=trained_steps(run) * config.optimisation.batch // len(people.labels),
        seed=config.distillation.seed,
        command=command_line(config),
    )
