"""From settings to a trained student: opens what a run needs and hands it to the loop."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import cv2
import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from faces.console import progress
from faces.detect import open_detector
from faces.embed import ModelEmbedder
from faces.models import find_model, open_embedder
from faces.space import ModelCard, Recipe
from kd.backbones import build_backbone
from kd.checkpoint import load_student, require_same_run, restore, save_checkpoint, save_config
from kd.classifier import Classifier, kept_class_means
from kd.config import RunConfig, Student
from kd.data.batches import Batch, Targets, ViewPlan, batches
from kd.data.people import People, prepare_people
from kd.errors import DataUnusable
from kd.head import FrozenHead
from kd.losses import METHODS, parse_method
from kd.margins import Margin, margin_named
from kd.train import Report, Run, train

_SAVE_EVERY: Final = 500  # steps: a few minutes' work at most is lost


def distil(
    config: RunConfig, folder: Path, *, init: dict[str, torch.Tensor] | None, tell: Callable[[str], None]
) -> None:
    """Train until `config.optimisation.epochs` are done, going on from the folder's checkpoint where there is one.

    init: weights to begin from instead of chance. tell: told in sentences what was found before the first step.
    """
    torch.manual_seed(config.distillation.seed)
    cv2.setNumThreads(1)  # views are made beside the network: a second pool of threads would fight the first
    torch.set_flush_denormal(True)  # batch normalisation's slow tail otherwise costs a tenth of the time
    require_same_run(folder, config)
    weights, logits = parse_method(config.distillation.method), margin_named(config.distillation.margin)
    teacher = open_embedder(find_model(config.distillation.teacher), threads=torch.get_num_threads())
    student = build_student(config.student, teacher.space.dim)
    if init is not None:
        load_student(student, init)
    people = prepare_people([Path(root) for root in config.photos], folder / "data", open_detector)
    steps = config.optimisation.epochs * _steps_an_epoch(people, config)
    classifier = kept_class_means(people, teacher, folder / "data" / "classifier.npz")
    tell(_summary(people, classifier))
    run = Run(
        student=student,
        optimizer=torch.optim.AdamW(student.parameters(), weight_decay=config.optimisation.weight_decay),
        head=FrozenHead(torch.from_numpy(classifier.weights)),
        weights=weights,
        logits=logits,
        margin=Margin(config.distillation.margin_size, config.distillation.scale),
        plan=config.optimisation,
        steps=steps,
    )
    save_config(folder, config)
    if restore(run, folder):
        tell(f"going on from step {run.step} of {steps}")
    with closing(_batches(config, folder, people, teacher, run)) as stream, _reporting(run, folder) as report:
        train(run, stream, report, lambda run: save_checkpoint(run, folder), _SAVE_EVERY)


def _batches(
    config: RunConfig, folder: Path, people: People, teacher: ModelEmbedder, run: Run
) -> Generator[Batch, None, None]:
    """The views that come next, with the teacher's embeddings where a method asks for them."""
    chosen = config.distillation
    plan = ViewPlan(config.optimisation.batch, chosen.views, chosen.mixup, chosen.seed)
    asks = any(METHODS[name].asks_teacher for name in run.weights)
    targets = Targets(folder / "data" / "targets.npy", teacher, people, plan) if asks else None
    return batches(people, student_recipe(config.student, teacher.card), plan, targets, start=run.step)


@contextmanager
def _reporting(run: Run, folder: Path) -> Iterator[Report]:
    """Losses go to TensorBoard, in the run's folder; steps to the terminal."""
    bar = progress("training", run.steps, done=run.step)
    with SummaryWriter(str(folder / "tensorboard")) as board, bar as advance:
        last = run.step

        def report(step: int, parts: Mapping[str, float]) -> None:
            nonlocal last
            for name, value in parts.items():
                board.add_scalar(name, value, step)
            advance(step - last)
            last = step

        yield report


def build_student(student: Student, dim: int) -> nn.Module:
    """A fresh network in the memory layout that CPUs like."""
    network = build_backbone(student.backbone, student.side, dim, student.width)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def student_recipe(student: Student, teacher: ModelCard) -> Recipe:
    """The teacher's view of the face, at the student's size."""
    return teacher.crop.scaled(student.side, student.side)


def _steps_an_epoch(people: People, config: RunConfig) -> int:
    steps = len(people.labels) // config.optimisation.batch
    if steps == 0:
        raise DataUnusable("fewer faces than one batch", len(people.labels), "Add photos, or lower --batch.")
    return steps


def _summary(people: People, classifier: Classifier) -> str:
    unlabelled = int((people.labels < 0).sum())
    return (
        f"{len(people.labels)} faces ({unlabelled} of them without a label) of {len(people.names)} people, "
        f"{len(people.skipped)} files without a face; the teacher knows {classifier.accuracy:.1%} by its class means"
    )
