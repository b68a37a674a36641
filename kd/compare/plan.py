"""Who is compared with whom: rivals that differ in their method, and in nothing that would be unfair."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

import click
from pydantic import TypeAdapter, ValidationError

from kd import checks
from kd.config import GROUPS, RunConfig
from kd.errors import PlanRefused
from kd.losses import METHODS, Term, parse_method, unanchored
from kd.options import BOUNDS

ANCHOR: Final = "cosine"
"""What a relational method is tied to the teacher's space by, beside being reported alone."""
SEEDS_FOR_A_SPREAD: Final = 3

_RIVAL: Final = re.compile(r"(?:(?P<label>[^=(;@]+)=)?(?P<method>[^=(;]+(?:\([^;]*)?)(?:;(?P<settings>.*))?")
_FOLDERS: Final = re.compile(r"[^\s,=]*/")
_SHARED: Final = frozenset(
    {"teacher", "classifier", "method", "seed", "epochs", "batch", "views", "view_seed", "photos_each", "dim"}
)  # the same photos, teacher and budget for all
_GRAMMAR: Final = "Write [LABEL=]METHOD[; SETTING=VALUE ...]: 'CCKD=none+cckd; sampler=class-uniform'."


@dataclass(frozen=True, slots=True)
class Rival:
    """A method, as `--method` takes it, under the name that the table gives it."""

    label: str
    method: str
    settings: Mapping[str, str] = field(default_factory=dict)
    """What else its own recipe asks for: name of a field of RunConfig's groups -> value."""

    @property
    def terms(self) -> tuple[Term, ...]:
        return parse_method(self.method)

    @property
    def recipe(self) -> str:
        """The method with its settings, in one line; of paths the last part, since they mean nothing elsewhere."""
        settings = {name: _FOLDERS.sub("", value) for name, value in self.settings.items()}
        return "; ".join([self.method, *(f"{name}={value}" for name, value in settings.items())])

    @property
    def folder(self) -> str:
        """The label as a name for a folder."""
        return re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-")


@dataclass(frozen=True, slots=True)
class Plan:
    base: RunConfig
    """What all runs share; its method and seed are replaced."""
    rivals: tuple[Rival, ...]
    seeds: tuple[int, ...]

    def runs(self) -> list[tuple[Rival, int]]:
        """Every run, one seed of all rivals after the other, so that half of them is a comparison too."""
        return [(rival, seed) for seed in self.seeds for rival in self.rivals]

    def config(self, rival: Rival, seed: int) -> RunConfig:
        """Raises PlanRefused for a setting that is none, or that all must share."""
        config = replace(self.base, distillation=replace(self.base.distillation, method=rival.method, seed=seed))
        for name, value in rival.settings.items():
            config = _changed(config, name, value)
        return config


def checked(plan: Plan) -> Plan:
    """The plan itself, once what would otherwise be found out hours from now is known to be right.

    Raises PlanRefused, and what `kd.checks.checked` and `faces.models.find_model` raise of any rival's settings.
    """
    folders = [rival.folder for rival in plan.rivals]
    for folder, rival in zip(folders, plan.rivals, strict=True):
        if not folder or folders.count(folder) > 1:
            raise PlanRefused("a label that no other run can be told from", rival.label, "Give each rival its own.")
    configs = [plan.config(rival, seed=0) for rival in plan.rivals]
    for config in configs:
        checks.checked(config)
    checks.require_models(configs)
    if not plan.rivals or not plan.seeds or len(set(plan.seeds)) < len(plan.seeds):
        raise PlanRefused("not a set of runs", f"{len(plan.rivals)} rivals, seeds {plan.seeds}", "Give each seed once.")
    return plan


def parse_rival(text: str) -> Rival:
    """`[LABEL=]METHOD[; SETTING=VALUE ...]`. Raises PlanRefused."""
    found = _RIVAL.fullmatch(text.strip())
    settings = dict(part.strip().partition("=")[::2] for part in (found["settings"] or "").split(";")) if found else {}
    settings.pop("", None)
    if found is None or not all(settings.values()):
        raise PlanRefused("not a rival", text, _GRAMMAR)
    method = found["method"].strip()
    return Rival((found["label"] or method).strip(), method, settings)


def both_ways(rivals: Iterable[Rival]) -> tuple[Rival, ...]:
    """Relational rivals twice, as published and with an anchored term; all others as they are."""
    return tuple(each for rival in rivals for each in ([rival, _anchored(rival)] if _relational(rival) else [rival]))


def _relational(rival: Rival) -> bool:
    return unanchored(rival.terms) and any(METHODS[term.name].asks_teacher for term in rival.terms)


def _anchored(rival: Rival) -> Rival:
    return replace(rival, label=f"{rival.label} + {ANCHOR}", method=f"{rival.method}+{ANCHOR}")


def _changed(config: RunConfig, name: str, value: str) -> RunConfig:
    name = name.replace("-", "_")
    group = next((group for group, settings in GROUPS.items() if name in _names(settings)), None)
    if group is None or name in _SHARED:
        known = sorted({name for settings in GROUPS.values() for name in _names(settings)} - _SHARED)
        raise PlanRefused("not a setting that rivals may differ in", name, f"Choose from {', '.join(known)}.")
    values: dict[str, Any] = asdict(getattr(config, group))
    others = values[name]
    values[name] = tuple(value.split(",")) if isinstance(others, tuple) else value
    try:
        changed = replace(config, **{group: TypeAdapter(GROUPS[group]).validate_python(values)})
        if name in BOUNDS:
            BOUNDS[name].convert(value, None, None)
        return changed
    except click.BadParameter as error:
        raise PlanRefused(f"not a value for {name}", value, error.message) from None
    except ValidationError:
        raise PlanRefused(f"not a value for {name}", value, f"The others have {others!r}.") from None


def _names(settings: type) -> Sequence[str]:
    return [field.name for field in fields(settings)]


RIVALS: Final = (
    Rival("nobody", "none"),
    Rival("L2", "l2"),
    Rival("cosine", "cosine"),
    Rival("soft logits", "logits"),
    Rival("ProxylessKD", "proxyless"),
    Rival("MarginDistillation", "margin"),
    Rival("AdaDistill", "adadistill"),
    Rival("AdaDistill, plain", "adadistill(weighting=plain)"),
    Rival("STKD", "stkd"),
    Rival("BCT", "bct"),
    Rival("CCKD", "0.1*none+10*cckd", {"sampler": "class-uniform"}),
    Rival("RKD", "0.1*none+2.5*rkd"),
    Rival("EKD", "0.1*none+0.1*ekd", {"sampler": "half-balanced"}),
    Rival("ProxylessKD + cosine", "0.1*proxyless+cosine"),
    Rival("ProxylessKD + L2", "0.1*proxyless+l2"),
)
"""Every method that needs nothing but a teacher.

RKD has the 25 and 50 that its use on classifiers had; CCKD's weight makes its slopes as large as RKD's. A tenth of the
softmax beside a whole regression is what kd train does by default.
"""
