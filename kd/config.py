"""The settings of one training run, as they are kept beside it."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Optimisation:
    """How far and how fast."""

    epochs: int
    batch: int
    rate: float
    """Learning rate after the warm-up."""
    decay: float
    """The last share of the steps, over which the rate falls to zero; before that it is constant, so that a run can
    be given more epochs until then without having been a different one."""
    weight_decay: float
    bf16: bool


@dataclass(frozen=True, slots=True)
class Distillation:
    """What is learnt from whom."""

    teacher: str
    method: str
    margin: str
    margin_size: float
    scale: float
    views: int
    mixup: float
    seed: int


@dataclass(frozen=True, slots=True)
class Student:
    """The network. It sees what its teacher sees of a face, at its own size: `side` pixels square."""

    backbone: str
    width: float
    side: int


@dataclass(frozen=True, slots=True)
class RunConfig:
    photos: tuple[str, ...]
    student: Student
    distillation: Distillation
    optimisation: Optimisation

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "RunConfig":
        return RunConfig(
            tuple(values["photos"]),
            Student(**values["student"]),
            Distillation(**values["distillation"]),
            Optimisation(**values["optimisation"]),
        )
