"""Distillation losses, one file each; `METHODS` names them and says what each needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from torch import Tensor

from kd.errors import UnknownName
from kd.head import FrozenHead
from kd.losses.cosine import cosine
from kd.losses.proxyless import proxyless
from kd.margins import Margin, MarginLogits


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What a loss may look at, of one batch."""

    vectors: Tensor
    """(n, dim) unit rows: the student's."""
    labels: Tensor
    """(n,) int64; -1 where there is none."""
    targets: Tensor | None
    """(n, dim) unit rows: the teacher's, of the same views."""
    head: FrozenHead
    logits: MarginLogits
    margin: Margin


@dataclass(frozen=True, slots=True)
class Method:
    loss: Callable[[Step], Tensor]
    asks_teacher: bool
    """The teacher embeds every view, so views cost more."""


def _proxyless(step: Step) -> Tensor:
    return proxyless(step.head(step.vectors), step.labels, step.logits, step.margin)


def _cosine(step: Step) -> Tensor:
    if step.targets is None:
        raise TypeError("a method that asks the teacher was given a batch without its answers")
    return cosine(step.vectors, step.targets) / (1 - step.head.floor)


METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {"cosine": Method(_cosine, asks_teacher=True), "proxyless": Method(_proxyless, asks_teacher=False)}
)


def parse_method(text: str) -> dict[str, float]:
    """`proxyless+cosine` or `0.3*proxyless+cosine` -> {name: weight}. Raises UnknownName, which lists the names."""
    weights = {}
    for term in text.split("+"):
        weight, star, name = term.rpartition("*")
        try:
            weights[name.strip()] = float(weight) if star else 1.0
        except ValueError:
            raise UnknownName("not a weight", weight, "Write a method as NAME+NAME or WEIGHT*NAME+NAME.") from None
        if name.strip() not in METHODS:
            raise UnknownName("no such method", name.strip(), f"Choose from {', '.join(sorted(METHODS))}, joined by +.")
    return weights
