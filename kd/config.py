"""The settings of one training run, as they are kept beside it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Optimisation:
    """How far and how fast."""

    epochs: int
    batch: int
    """Views in a step, of all ranks together."""
    rate: float
    """Learning rate after the warm-up."""
    schedule: str
    decay: float
    """The last share of the steps, over which the rate of the `flat` schedule falls to zero; before that it is
    constant, so that a run given more epochs until then has had the rates of the longer one. Its margin it has not had:
    that grows over the first third of the steps (kd.train), and goes on from where a longer run would have it."""
    weight_decay: float
    clip: float
    """Greatest norm of a step's gradient."""
    ema: float
    """Decay of the moving average of the weights that is exported; 0 for none."""
    bf16: bool


@dataclass(frozen=True, slots=True)
class Distillation:
    """What is learnt from whom."""

    teacher: str | None
    """None: a teacher is trained, with a classifier of its own."""
    classifier: str
    """`means`, or the path of the teacher's class weights."""
    head: str
    """How the frozen class weights are stored."""
    method: str
    margin: str
    margin_size: float | None
    """None: the usual one of the margin."""
    scale: float
    subset_teachers: tuple[str, ...]
    """`FIRST-LAST=MODEL`: a teacher of the people with so many photos."""
    epoch_teachers: str | None
    """A teacher's run that kept the weights of each of its epochs."""
    seed: int


@dataclass(frozen=True, slots=True)
class Viewing:
    """What of the photos is shown, and in which order."""

    views: int
    """Different views of one photo; the teacher embeds each once."""
    mixup: float
    """The share of views in which two people are blended."""
    low_resolution: float
    """The share of views that are shown at 14 to 56 pixels."""
    sampler: str
    photos_each: tuple[int, int | None]
    """Only people with at least and at most so many photos."""
    view_seed: int


@dataclass(frozen=True, slots=True)
class Student:
    """The network. It sees what its teacher sees of a face, at its own size: `side` pixels square."""

    backbone: str
    width: float
    side: int
    dim: int | None
    """Of a teacher's embedding; None for a student, which has its teacher's."""
    init: str | None
    """The Model folder or run whose weights it begins with; None for chance."""


@dataclass(frozen=True, slots=True)
class RunConfig:
    photos: tuple[str, ...]
    student: Student
    distillation: Distillation
    viewing: Viewing
    optimisation: Optimisation

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "RunConfig":
        """The settings that `to_dict` wrote, through JSON. Raises KeyError or TypeError for any other mapping."""
        return RunConfig(tuple(values["photos"]), **_groups(GROUPS, values))


@dataclass(frozen=True, slots=True)
class Adaptation:
    """The network of `kd adapt`: a Model that stays as it is, and a head that is trained on what it answers."""

    embedder: str
    rows: str
    """What of its answer the head begins from: `features`, as its last linear layer takes them, or `embedding`."""
    hidden: int
    """Units between the two layers of the head; 0 for a linear map."""
    drop: float
    """The share of those units that a step leaves out."""


@dataclass(frozen=True, slots=True)
class AdaptConfig:
    photos: tuple[str, ...]
    adaptation: Adaptation
    distillation: Distillation
    viewing: Viewing
    optimisation: Optimisation

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "AdaptConfig":
        """See RunConfig."""
        return AdaptConfig(tuple(values["photos"]), **_groups(ADAPT_GROUPS, values))


Settings = RunConfig | AdaptConfig

GROUPS: Final[Mapping[str, type]] = MappingProxyType(
    {"student": Student, "distillation": Distillation, "viewing": Viewing, "optimisation": Optimisation}
)
"""Name of each group of settings in a RunConfig -> its class."""
ADAPT_GROUPS: Final[Mapping[str, type]] = MappingProxyType(
    {"adaptation": Adaptation, "distillation": Distillation, "viewing": Viewing, "optimisation": Optimisation}
)
"""The same of an AdaptConfig."""


def _groups(groups: Mapping[str, type], values: dict[str, Any]) -> dict[str, Any]:
    return {name: _build(group, values[name]) for name, group in groups.items()}


def _build(group: type, values: dict[str, Any]) -> Any:
    unknown = set(values) - {field.name for field in fields(group)}
    if unknown:
        raise TypeError(f"not a setting: {min(unknown)}")
    return group(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
