"""Who answers for a view: the teacher, a teacher of a part of the people, or the teacher in the making."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from faces.embed import Crops, ModelEmbedder, Vectors
from faces.models import find_model, open_embedder
from faces.space import Recipe, digest, short_id
from kd.checkpoint import load_config, load_student
from kd.config import Distillation, Viewing
from kd.data.people import People
from kd.data.targets import KeptAnswers, Targets, Teaching
from kd.errors import CheckpointMismatch, UnknownName
from kd.head import unit
from kd.losses import METHODS, Term
from kd.losses.subsets import subset_of
from kd.students import build_student, student_recipe
from kd.train import as_input

_SUBSET: Final = re.compile(r"(\d+)-(\d*)=(.+)")
_MOST: Final = 10**9  # photos of one person


def asks_teacher(terms: Sequence[Term]) -> bool:
    return any(METHODS[term.name].asks_teacher for term in terms)


def require_teachers(terms: Sequence[Term], chosen: Distillation) -> None:
    """Raises UnknownName where a method needs teachers that are not given, or teachers are given that none needs."""
    names = {term.name for term in terms}
    for method, option, given in (
        ("multistep", "--epoch-teachers", chosen.epoch_teachers is not None),
        ("subsets", "--subset-teacher", bool(chosen.subset_teachers)),
    ):
        if given != (method in names):
            what = f"{option} is for the method {method} alone" if given else f"{method} needs {option}"
            raise UnknownName(what, chosen.method, f"Give both {option} and --method {method}, or neither.")


def open_targets(
    terms: Sequence[Term], chosen: Distillation, viewing: Viewing, people: People, teacher: ModelEmbedder, folder: Path
) -> Targets | None:
    """Whom the run's methods ask about its views; None where they ask nobody.

    Raises CheckpointMismatch where the teachers of epochs are none.
    """
    if not asks_teacher(terms):
        return None
    sharp = any(METHODS[term.name].sharp_teacher for term in terms)
    dim = teacher.space.dim
    if chosen.epoch_teachers is not None:
        stages = epoch_teachers(Path(chosen.epoch_teachers), dim)
        return Teaching(stages, lambda epoch, _: min(epoch, len(stages) - 1), sharp, dim)
    if chosen.subset_teachers:
        subsets = [read_subset(text) for text in chosen.subset_teachers]
        member = _members(people, [photos for photos, _ in subsets])
        embedders = [open_embedder(find_model(name), threads=torch.get_num_threads()) for _, name in subsets]
        teaching = Teaching(embedders, lambda _, photo: int(member[photo]), sharp, dim)
    else:
        teaching = Teaching([teacher], lambda *_: 0, sharp, dim)
    return KeptAnswers(folder, teaching, viewing=viewing, photos=len(people.labels), whose=chosen.subset_teachers)


def read_subset(text: str) -> tuple[range, str]:
    """`2-4=MODEL` or `5-=MODEL` -> (numbers of photos, MODEL). Raises UnknownName."""
    found = _SUBSET.fullmatch(text)
    if found is None:
        raise UnknownName("not a subset teacher", text, "Write FIRST-LAST=MODEL, by photos of a person: 2-4=MODEL.")
    return range(int(found[1]), int(found[2] or _MOST) + 1), found[3]


def epoch_teachers(run: Path, dim: int) -> "list[EpochTeacher]":
    """The stages of a teacher's run. Raises CheckpointMismatch when it kept none, or has another width."""
    files = sorted((run / "epochs").glob("*.safetensors"))
    config = load_config(run)
    if not files or config.student.dim != dim:
        raise CheckpointMismatch(
            "no teacher's run that kept its epochs", str(run), f"Run kd teacher train --keep-epochs --dim {dim}."
        )
    recipe = student_recipe(config.student, None)
    network = _Network(build_student(config.student, dim))
    return [EpochTeacher(file, recipe, network) for file in files]


class _Network:
    """One network for all stages: eight of a large one would fill the memory before the first is asked."""

    def __init__(self, blank: nn.Module) -> None:
        self._network, self._holds = blank.eval(), Path()

    def after(self, epoch: Path) -> nn.Module:
        """The network as this file keeps it. Asked by one thread at a time, as `kd.data.batches` does."""
        if self._holds != epoch:
            load_student(self._network, safetensors.torch.load_file(epoch))
            self._holds = epoch
        return self._network


@dataclass(eq=False)
class EpochTeacher:
    """A teacher in the making: an Oracle over the weights after one of its epochs, read when it is asked."""

    file: Path
    recipe: Recipe
    network: _Network = field(repr=False)

    @cached_property
    def identity(self) -> str:
        return short_id(digest(self.file.read_bytes()))

    def embed(self, crops: Crops) -> Vectors:
        """(n, height, width, 3) uint8 RGB -> (n, dim) float32, unit rows."""
        with torch.inference_mode():
            return np.asarray(unit(self.network.after(self.file)(as_input(crops))).numpy(), dtype=np.float32)


def _members(people: People, subsets: Sequence[range]) -> NDArray[np.int64]:
    """(photos,): the subset that each photo's person belongs to, by their number of photos; -1 where none."""
    counts = np.bincount(people.labels[people.labels >= 0], minlength=len(people.names))
    of_person = subset_of(torch.from_numpy(counts), subsets).numpy()
    return np.where(people.labels >= 0, of_person[people.labels], -1)
