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
from faces.space import Input, Licence, ModelCard, Space, Training, digest, short_id
from kd.checkpoint import load_config, own_classifier, student_weights, trained_steps
from kd.classifier.files import CLASSIFIER_FILE, write_classifier
from kd.config import GROUPS, RunConfig
from kd.data.people import read_people
from kd.errors import ExportDiffers
from kd.head import unit
from kd.options import ONLY_OF_STUDENTS, option_words
from kd.students import build_student, student_recipe
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
    teacher = None if config.distillation.teacher is None else find_model(config.distillation.teacher).card
    dim = config.student.dim if teacher is None else teacher.dim
    recipe = student_recipe(config.student, None if teacher is None else teacher.crop)
    student = build_student(config.student, dim or 0)
    student.load_state_dict(student_weights(run))
    student.eval()
    onnx = to_onnx(student, config.student.side)
    out.mkdir(parents=True, exist_ok=True)
    check_export(student, onnx, config.student.side, out)
    space = Space(digest(onnx), dim or 0, recipe.name) if teacher is None else teacher.space
    model_id = short_id(digest(onnx))
    card = ModelCard(
        name=name,
        model_id=model_id,
        role="teacher" if teacher is None else "student",
        space=space,
        space_id=space.space_id,
        teacher_model_id=model_id if teacher is None else teacher.model_id,
        input=Input(recipe.height, recipe.width, "RGB", (MEAN, MEAN, MEAN), SCALE),
        crop=recipe,
        dim=space.dim,
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
    if teacher is None:
        write_classifier(out / CLASSIFIER_FILE, own_classifier(run), read_people(run / "data").names)
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
    """The command that made the run, but for where it wrote and what it began from."""
    alone = config.distillation.teacher is None
    words = ["kd", "teacher", "train"] if alone else ["kd", "train"]
    words += config.photos
    for name, group in GROUPS.items():
        values = getattr(config, name)
        for field in fields(group):
            if not (alone and field.name in ONLY_OF_STUDENTS):
                words += option_words(field.name, getattr(values, field.name))
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
