"""From settings to a trained network: opens what a run needs and hands it to the loop."""

import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter

from faces.console import progress
from faces.detect import open_detector
from faces.embed import ModelEmbedder
from faces.models import find_model, open_embedder
from kd import distributed
from kd.begin import begin_with
from kd.checkpoint import (
    has_checkpoint,
    keep_epoch,
    learn_from,
    require_same_run,
    restore,
    save_checkpoint,
    save_config,
)
from kd.checks import checked, require_models
from kd.classifier import Classifier, inherit
from kd.config import RunConfig, Settings
from kd.cut import FACES
from kd.data.batches import Batch, ViewPlan, batches
from kd.data.people import People, photos_digest, prepare_people, shown_people
from kd.data.samplers import epoch_order
from kd.data.targets import Targets
from kd.data.views import some_faces
from kd.errors import DataUnusable, UnknownName
from kd.head import FrozenHead
from kd.losses import Criterion, Term, unanchored
from kd.losses.step import Setting
from kd.margins import margin_named
from kd.oracles import open_targets, read_subset
from kd.students import build_student, student_recipe
from kd.train import Pupil, Report, Run, as_input, train

_SAVE_EVERY: Final = 500  # steps: a few minutes' work at most is lost

Tell = Callable[[str], None]


@distributed.together()
def distil(
    config: RunConfig,
    folder: Path,
    *,
    tell: Tell,
    data: Path | None = None,
    keep_epochs: bool = False,
) -> None:
    """Train until `config.optimisation.epochs` are done, going on from the folder's checkpoint where there is one.

    tell: told in sentences what was found before the first step. data: where the prepared faces and the teacher's
    answers are kept, for runs that share them; a folder of the run's own unless given. keep_epochs: keep the weights
    after each epoch, for `multistep`.
    Ctrl-C, and the signal that ends a process, stop after the step that is under way; it is saved.
    """
    terms = checked(config)
    require_models([config])
    begin(config, folder)
    lesson = prepared(config, data_folder(folder, data))
    introduce(lesson, terms, tell)
    dim = lesson.teacher.space.dim if lesson.teacher else config.student.dim
    if dim is None:
        raise UnknownName("a teacher without a width", "--dim", "Give the length of its embedding.")
    student = build_student(config.student, dim)
    recipe = student_recipe(config.student, lesson.teacher.recipe if lesson.teacher else None)
    if config.student.init is not None and not has_checkpoint(folder):
        begin_with(student, Path(config.student.init), lambda: as_input(some_faces(lesson.people.crops, recipe, FACES)))
    run, order = new_run(config, terms, lesson, student, dim), photo_order(config, lesson)
    viewing = config.viewing
    plan = ViewPlan(order, viewing.views, viewing.mixup, viewing.low_resolution, viewing.view_seed)
    stream = partial(batches, lesson.people, recipe, plan, _targets(config, terms, lesson))
    go_through(run, config, folder, stream, tell, keep_each=len(order(0)) if keep_epochs else None)


def data_folder(run: Path, shared: Path | None) -> Path:
    """Where a run's prepared faces are: in its own folder, or in one that it shares, to which its own then leads."""
    own = run / "data"
    if shared is not None and shared.resolve() != own.resolve() and (own.is_symlink() or not own.exists()):
        run.mkdir(parents=True, exist_ok=True)
        link = run / f"data.{os.getpid()}.part"
        link.unlink(missing_ok=True)
        link.symlink_to(shared.resolve())
        link.replace(own)  # several ranks do so at once
    return shared or own.resolve()


def begin(config: Settings, folder: Path) -> None:
    """Set the process up for a run.

    Raises CheckpointMismatch when the folder holds a run with other settings, or of other photos.
    """
    torch.manual_seed(config.distillation.seed)
    cv2.setNumThreads(1)  # views are made beside the network: a second pool of threads would fight the first
    torch.set_flush_denormal(True)  # batch normalisation's slow tail otherwise costs a tenth of the time
    require_same_run(folder, config)
    learn_from(folder, photos_digest([Path(root) for root in config.photos]))


def introduce(lesson: "Lesson", terms: Sequence[Term], tell: Tell) -> None:
    """Tell what was found before the first step."""
    if distributed.rank() == 0:
        tell(lesson.summary())
        if lesson.teacher and unanchored(terms):
            tell("no method here ties the student to the teacher's space: alone it cannot search the teacher's gallery")


def go_through(
    run: Run,
    config: Settings,
    folder: Path,
    stream: Callable[..., Generator[Batch]],
    tell: Tell,
    *,
    keep_each: int | None = None,
) -> None:
    """Train to the end of the run, from the folder's checkpoint on where there is one.

    stream: (start=, mine=) -> the batches from step `start` on, as `kd.data.batches.batches` gives them. keep_each:
    keep the student's weights every so many steps.
    """
    save_config(folder, config)
    if restore(run, folder):
        tell(f"going on from step {run.step} of {run.steps}")
    shown = stream(start=run.step, mine=distributed.share(config.optimisation.batch))
    save = partial(_save, folder=folder, epoch=keep_each)
    with closing(shown), _reporting(run, folder) as report, _until_told() as stopped:
        train(run, shown, report=report, save=save, save_every={_SAVE_EVERY, keep_each or _SAVE_EVERY}, stopped=stopped)


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What there is to learn from."""

    people: People
    teacher: ModelEmbedder | None
    classifier: Classifier | None
    folder: Path

    @property
    def photos(self) -> NDArray[np.int64]:
        """(classes,): photos of each person; of the inherited classes beyond the people, none."""
        classes = len(self.people.names) if self.classifier is None else len(self.classifier.weights)
        return np.bincount(self.people.labels[self.people.labels >= 0], minlength=classes)

    def summary(self) -> str:
        unlabelled = int((self.people.labels < 0).sum())
        found = (
            f"{len(self.people.labels)} faces ({unlabelled} of them without a label) of {len(self.people.names)} "
            f"people, {len(self.people.skipped)} files without a face"
        )
        if self.classifier is None:
            return found
        return f"{found}; the teacher knows {self.classifier.accuracy:.1%} by its class weights"


def prepared(config: Settings, folder: Path) -> Lesson:
    """Faces and class weights, read from disk where an earlier start left them; the first rank writes them there."""
    if distributed.rank() > 0:
        distributed.wait()
    chosen = config.distillation
    people = prepare_people([Path(root) for root in config.photos], folder, open_detector)
    teacher = classifier = None
    if chosen.teacher is not None:
        teacher = open_embedder(find_model(chosen.teacher), threads=torch.get_num_threads())
        classifier = inherit(people, teacher, chosen.classifier, folder)  # of all people: subsets share one W
    people = shown_people(people, config.viewing.photos_each)
    if distributed.rank() == 0:
        distributed.wait()
    return Lesson(people, teacher, classifier, folder)


def new_run(config: Settings, terms: Sequence[Term], lesson: Lesson, student: nn.Module, dim: int) -> Run:
    """A run that has done no step yet, of a student that answers with rows of length `dim`."""
    chosen, plan = config.distillation, config.optimisation
    margin = margin_named(chosen.margin)
    setting = Setting(
        inherited=FrozenHead(torch.from_numpy(lesson.classifier.weights), chosen.head, sharded=distributed.world() > 1)
        if lesson.classifier
        else None,
        dim=dim,
        photos=torch.from_numpy(lesson.photos),
        scale=chosen.scale,
        new_margin=partial(margin, margin.usual if chosen.margin_size is None else chosen.margin_size),
        subsets=tuple(read_subset(text)[0] for text in chosen.subset_teachers),
    )
    pupil = Pupil(distributed.synchronised(student), Criterion(terms, setting), bf16=plan.bf16)
    return Run(
        pupil=pupil,
        optimizer=torch.optim.AdamW(pupil.parameters(), weight_decay=plan.weight_decay),
        average=_averaged(student, plan.ema),
        plan=plan,
        steps=plan.epochs * steps_an_epoch(config, lesson),
        seed=chosen.seed,
    )


def _averaged(student: nn.Module, decay: float) -> AveragedModel | None:
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(student, multi_avg_fn=average, use_buffers=True) if decay else None


def photo_order(config: Settings, lesson: Lesson) -> Callable[[int], NDArray[np.int64]]:
    """Epoch -> (steps, batch) numbers of photos."""
    centres = None if lesson.classifier is None else lesson.classifier.weights
    size, seed = config.optimisation.batch, config.distillation.seed
    return epoch_order(config.viewing.sampler, lesson.people.labels, size, seed, centres)


def _targets(config: RunConfig, terms: Sequence[Term], lesson: Lesson) -> Targets | None:
    if lesson.teacher is None:
        return None
    return open_targets(terms, config.distillation, config.viewing, lesson.people, lesson.teacher, lesson.folder)


def _save(run: Run, *, folder: Path, epoch: int | None) -> None:
    """The checkpoint; after an epoch its weights too, where an epoch is given in steps. The first rank writes.

    The checkpoint last: what is killed in between does the epoch's last steps again, and keeps it then.
    """
    if distributed.rank() == 0:
        if epoch is not None and run.step % epoch == 0:
            keep_epoch(run, folder, run.step // epoch - 1)
        save_checkpoint(run, folder)


@contextmanager
def _until_told() -> Iterator[Callable[[], bool]]:
    """Whether a signal has asked to stop, on any rank. Raises KeyboardInterrupt at the end when one has."""
    told = torch.zeros(())

    def tell(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        told.fill_(1)

    before = {name: signal.signal(name, tell) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(distributed.total(told))
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    if told:
        raise KeyboardInterrupt


@contextmanager
def _reporting(run: Run, folder: Path) -> Iterator[Report]:
    """Losses and speed go to TensorBoard, in the run's folder; images to the terminal. The first rank speaks."""
    if distributed.rank() > 0:
        yield lambda *_: None
        return
    size = run.plan.batch
    bar = progress("training, images", run.steps * size, done=run.step * size)
    with SummaryWriter(str(folder / "tensorboard")) as board, bar as advance:
        last = run.step

        def report(step: int, seen: Mapping[str, float]) -> None:
            nonlocal last
            for name, value in seen.items():
                board.add_scalar(name, value, step)
            advance((step - last) * size)
            last = step

        yield report


def steps_an_epoch(config: Settings, lesson: Lesson) -> int:
    """Raises DataUnusable when there is not one."""
    steps = len(photo_order(config, lesson)(0))
    if steps == 0:
        raise DataUnusable("fewer faces than one batch", len(lesson.people.labels), "Add photos, or lower --batch.")
    return steps
