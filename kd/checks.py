"""What can be said of a run's settings before any photo is read."""

from collections.abc import Callable, Iterable
from functools import partial

import torch

from faces.models import find_model
from kd import distributed
from kd.backbones import RESIDUAL, require_backbone
from kd.config import RunConfig, Settings
from kd.data.samplers import SAMPLERS
from kd.errors import SizeRefused, UnknownName, require_name
from kd.head import STORES, FrozenHead
from kd.losses import Criterion, Term, parse_method
from kd.losses.step import Setting
from kd.margins import Margin, margin_named
from kd.oracles import read_subset, require_teachers
from kd.train import SCHEDULES


def checked(config: Settings) -> tuple[Term, ...]:
    """The method's terms, once every name in the settings but those of Models is known to be one, and every knob good.

    Raises UnknownName, KnobRefused; SizeRefused for a side or width that the backbone cannot have, and for a batch with
    nothing in it for some rank; DataUnusable for a subset that others leave nobody to.
    """
    terms, chosen = parse_method(config.distillation.method), config.distillation
    margin = margin_named(chosen.margin)
    new_margin = partial(margin, margin.usual if chosen.margin_size is None else chosen.margin_size)
    new_margin()
    subsets = tuple(read_subset(text)[0] for text in chosen.subset_teachers)
    require_teachers(terms, chosen)
    require_name("sampler", config.viewing.sampler, SAMPLERS)
    require_name("store", chosen.head, STORES)
    require_name("schedule", config.optimisation.schedule, SCHEDULES)
    if chosen.teacher is None and {term.name for term in terms} != {"none"}:
        raise UnknownName("a method for a run with a teacher", chosen.method, "A teacher is trained by none.")
    if isinstance(config, RunConfig):
        student = config.student
        require_backbone(student.backbone, student.side, student.width)
    _require_halves(config, terms)
    Criterion(terms, _toy(None if chosen.teacher is None else chosen.head, chosen.scale, new_margin, subsets))
    ranks, batch = distributed.world(), config.optimisation.batch
    if ranks > batch:
        raise SizeRefused("fewer views in a batch than ranks that share it", batch, f"Give {ranks} or more.")
    return terms


def _toy(store: str | None, scale: float, new_margin: Callable[[], Margin], subsets: tuple[range, ...]) -> Setting:
    """Of a few people who stand for any: whatever a method refuses there, it refuses everywhere.

    store: None for a run without a teacher. Any number of photos that a subset keeps for itself is one of its first, or
    comes right after another's last: somebody has each of those.
    """
    photos = sorted({1, 2} | {number for subset in subsets for number in (subset.start, subset.stop)})
    inherited = None if store is None else FrozenHead(torch.eye(len(photos)), store)
    return Setting(inherited, len(photos), torch.tensor(photos), scale, new_margin, subsets)


def require_models(configs: Iterable[Settings]) -> None:
    """That the Models which runs ask are there: their teachers, and those of subsets; each is looked up once.

    Raises UnknownName, and what `faces.models.find_model` raises.
    """
    asked = [config.distillation for config in configs]
    subsets = {read_subset(text)[1] for chosen in asked for text in chosen.subset_teachers}
    for name in sorted(subsets | {chosen.teacher for chosen in asked if chosen.teacher is not None}):
        find_model(name)


def _require_halves(config: Settings, terms: tuple[Term, ...]) -> None:
    """`residual` teaches the two halves of one kind of student."""
    halves = isinstance(config, RunConfig) and config.student.backbone.startswith(RESIDUAL)
    if not halves and "residual" in {term.name for term in terms}:
        raise UnknownName("a method for students of two halves", "residual", f"Choose a --backbone {RESIDUAL}NAME.")
