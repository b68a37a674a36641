"""Distillation losses, one file each; `METHODS` names them, `parse_method` reads `--method`, `Criterion` sums them."""

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn

from kd.errors import UnknownName
from kd.losses.adadistill import AdaDistill
from kd.losses.bct import Bct
from kd.losses.cckd import Cckd
from kd.losses.cosine import Cosine
from kd.losses.ekd import Ekd
from kd.losses.l2 import L2
from kd.losses.logits import Logits
from kd.losses.margin import MarginDistillation
from kd.losses.multistep import Multistep
from kd.losses.none import Own
from kd.losses.proxyless import Proxyless
from kd.losses.residual import Residual
from kd.losses.rkd import Rkd
from kd.losses.step import Loss, Setting, Step
from kd.losses.stkd import Stkd
from kd.losses.subsets import Subsets

METHODS: Final[Mapping[str, type[Loss]]] = MappingProxyType(
    {
        "adadistill": AdaDistill,
        "bct": Bct,
        "cckd": Cckd,
        "cosine": Cosine,
        "ekd": Ekd,
        "l2": L2,
        "logits": Logits,
        "margin": MarginDistillation,
        "multistep": Multistep,
        "none": Own,
        "proxyless": Proxyless,
        "residual": Residual,
        "rkd": Rkd,
        "stkd": Stkd,
        "subsets": Subsets,
    }
)

_TERM: Final = re.compile(r"\s*(?:(?P<weight>[^*(]+)\*)?\s*(?P<name>[a-z][a-z0-9]*)\s*(?:\((?P<knobs>[^)]*)\))?\s*")
_GRAMMAR: Final = "Write a method as NAME+NAME, with a weight and knobs where wanted: 0.1*proxyless+cckd(order=2)."


@dataclass(frozen=True, slots=True)
class Term:
    """One loss of a sum."""

    name: str
    weight: float
    knobs: Mapping[str, float | int | str]


def parse_method(text: str) -> tuple[Term, ...]:
    """`proxyless+cosine`, `0.3*proxyless+cckd(order=3)` -> its terms. Raises UnknownName, which lists what there is."""
    terms = tuple(_term(part) for part in text.split("+"))
    twice = {term.name for term in terms if sum(other.name == term.name for other in terms) > 1}
    if twice:
        raise UnknownName("a method that is named twice", min(twice), _GRAMMAR)
    return terms


def unanchored(terms: Sequence[Term]) -> bool:
    """Whether no term ties the student to the teacher's space: it can then not search the teacher's gallery."""
    return not any(METHODS[term.name].anchored for term in terms)


class Criterion(nn.Module):
    """The weighted sum of some losses."""

    def __init__(self, terms: Sequence[Term], setting: Setting) -> None:
        super().__init__()
        self.weights = {term.name: term.weight for term in terms}
        self.losses = nn.ModuleDict({term.name: METHODS[term.name](setting, **term.knobs) for term in terms})

    def forward(self, step: Step) -> dict[str, Tensor]:
        """Name -> loss, unweighted, and under "loss" their weighted sum."""
        parts = {name: loss(step) for name, loss in self.losses.items()}
        total = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()
        return {"loss": total, **parts}


def _term(text: str) -> Term:
    found = _TERM.fullmatch(text)
    if found is None:
        raise UnknownName("not a method", text.strip(), _GRAMMAR)
    name = found["name"]
    if name not in METHODS:
        raise UnknownName("no such method", name, f"Choose from {', '.join(sorted(METHODS))}, joined by +.")
    return Term(name, _number(found["weight"] or "1"), _knobs(name, found["knobs"] or ""))


def _number(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise UnknownName("not a weight", text.strip(), _GRAMMAR)
    return weight


def _knobs(method: str, text: str) -> dict[str, float | int | str]:
    """`order=3, gamma=0.4` -> the knobs, of the types that their defaults have."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(METHODS[method]).parameters.items()
        if parameter.default is not parameter.empty
    }
    knobs: dict[str, float | int | str] = {}
    for assignment in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or name not in defaults:
            known = ", ".join(defaults) or "none"
            raise UnknownName(f"{method} has no such knob", name, f"Its knobs: {known}.")
        try:
            knobs[name] = type(defaults[name])(value)
        except ValueError:
            raise UnknownName(f"not a value for {name}", value, f"Its default is {defaults[name]!r}.") from None
    return knobs
