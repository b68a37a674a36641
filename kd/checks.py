"""What can be said of a run's settings before any photo is read."""

from collections.abc import Iterable

from faces.models import find_model
from kd import distributed
from kd.backbones import RESIDUAL, require_backbone
from kd.config import RunConfig, Settings
from kd.data.samplers import SAMPLERS
from kd.errors import SizeRefused, UnknownName, require_name
from kd.head import STORES
from kd.losses import Term, parse_method
from kd.margins import margin_named
from kd.oracles import read_subset, require_teachers
from kd.train import SCHEDULES


def checked(config: Settings) -> tuple[Term, ...]:
    """The method's terms, once every name in the settings but those of Models is known to be one.

    Raises UnknownName, KnobRefused; SizeRefused for a side or width that the backbone cannot have, and for a batch with
    nothing in it for some rank.
    """
    terms, chosen = parse_method(config.distillation.method), config.distillation
    margin = margin_named(chosen.margin)
    margin(margin.usual if chosen.margin_size is None else chosen.margin_size)
    for text in chosen.subset_teachers:
        read_subset(text)
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
    ranks, batch = distributed.world(), config.optimisation.batch
    if ranks > batch:
        raise SizeRefused("fewer views in a batch than ranks that share it", batch, f"Give {ranks} or more.")
    return terms


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
