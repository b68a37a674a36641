"""What can be said of a run's settings before any photo is read."""

from kd.backbones import RESIDUAL, require_backbone
from kd.config import RunConfig, Settings
from kd.data.samplers import require_sampler
from kd.errors import UnknownName
from kd.head import require_store
from kd.losses import Term, parse_method
from kd.margins import margin_named
from kd.oracles import read_subset, require_teachers
from kd.train import SCHEDULES


def checked(config: Settings) -> tuple[Term, ...]:
    """The method's terms, once every name in the settings but those of Models is known to be one.

    Raises UnknownName, KnobRefused; SizeRefused for a side or width that the backbone cannot have.
    """
    terms, chosen = parse_method(config.distillation.method), config.distillation
    margin = margin_named(chosen.margin)
    margin(margin.usual if chosen.margin_size is None else chosen.margin_size)
    for text in chosen.subset_teachers:
        read_subset(text)
    require_teachers(terms, chosen)
    require_sampler(config.viewing.sampler)
    require_store(chosen.head)
    if config.optimisation.schedule not in SCHEDULES:
        known = ", ".join(sorted(SCHEDULES))
        raise UnknownName("no such schedule", config.optimisation.schedule, f"Choose from {known}.")
    if chosen.teacher is None and {term.name for term in terms} != {"none"}:
        raise UnknownName("a method for a run with a teacher", chosen.method, "A teacher is trained by none.")
    if isinstance(config, RunConfig):
        student = config.student
        require_backbone(student.backbone, student.side, student.width)
    _require_halves(config, terms)
    return terms


def models_of(config: Settings) -> list[str]:
    """The Models that a run asks, by name, each once: its teacher, and those of subsets. Raises UnknownName."""
    chosen = config.distillation
    subsets = [read_subset(text)[1] for text in chosen.subset_teachers]
    return sorted({*subsets, *([] if chosen.teacher is None else [chosen.teacher])})


def _require_halves(config: Settings, terms: tuple[Term, ...]) -> None:
    """`residual` teaches the two halves of one kind of student."""
    halves = isinstance(config, RunConfig) and config.student.backbone.startswith(RESIDUAL)
    if not halves and "residual" in {term.name for term in terms}:
        raise UnknownName("a method for students of two halves", "residual", f"Choose a --backbone {RESIDUAL}NAME.")
