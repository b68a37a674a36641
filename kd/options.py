"""The options of a training run, shared by the commands that train."""

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import click

from faces.console import Finite
from kd.config import ADAPT_GROUPS, GROUPS, AdaptConfig, RunConfig

FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
DATA: Final = click.Path(exists=True, path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])


class NewFolder(click.Path):
    """A folder that may have to be made, and can be: what is above it are folders, and one may write there."""

    def __init__(self, *, writable: bool = True) -> None:
        """writable: one that is there already may be written."""
        super().__init__(file_okay=False, writable=writable, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        folder: Any = super().convert(value, param, ctx)
        above = next(parent for parent in folder.absolute().parents if os.access(parent, os.F_OK))
        if not above.is_dir():
            self.fail(f"{str(folder)!r} would be inside the file {str(above)!r}.", param, ctx)
        if not os.access(folder, os.F_OK) and not os.access(above, os.W_OK | os.X_OK):
            self.fail(f"{str(folder)!r} cannot be made: {str(above)!r} is not writable.", param, ctx)
        return folder


NEW_FOLDER: Final = NewFolder()
KEPT_FOLDER: Final = NewFolder(writable=False)  # what is prepared already may be read by whoever cannot write it


_SEED: Final = click.IntRange(0, 2**63 - 1)  # what both numpy and torch take
_SHARE: Final = Finite(0, 1)
_ABOVE_ZERO: Final = Finite(0, min_open=True)

BOUNDS: Final[Mapping[str, click.ParamType[Any]]] = MappingProxyType(
    {
        "batch": click.IntRange(2, 2**20),
        "clip": _ABOVE_ZERO,
        "decay": _SHARE,
        "dim": click.IntRange(2, 2**13),
        "drop": Finite(0, 1, max_open=True),
        "ema": Finite(0, 1, max_open=True),
        "epochs": click.IntRange(1, 10**6),
        "hidden": click.IntRange(0, 2**16),
        "low_resolution": _SHARE,
        "margin_size": Finite(0, 10),  # the largest usual one is SphereFace's 4, a whole number that its loop counts to
        "mixup": _SHARE,
        "rate": _ABOVE_ZERO,
        "scale": _ABOVE_ZERO,
        "seed": _SEED,
        "side": click.IntRange(32, 1024),
        "threads": click.IntRange(1, 1024),
        "view_seed": _SEED,
        "views": click.IntRange(1, 10**6),
        "weight_decay": Finite(0),
    }
)
"""Name of a setting -> the numbers that it can be. A width's bounds are its backbone's (kd.backbones)."""


class PhotosEach(click.ParamType[tuple[int, int | None]]):
    """`5` or `2-9`, `5-`: photos of one person, at least and at most."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int | None]:
        if isinstance(value, tuple):
            return value
        first, dash, last = value.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            self.fail(f"{value!r} is not FIRST-LAST, FIRST- or a number", param, ctx)
        return int(first), int(last) if last else None if dash else int(first)


def bounded(flag: str, **given: Any) -> Callable[[Command], Command]:
    """The option of a setting in BOUNDS."""
    return click.option(flag, type=BOUNDS[flag.removeprefix("--").replace("-", "_")], show_default=True, **given)


def _use(_: click.Context, __: click.Parameter, cores: int | None) -> None:
    if cores is not None:
        import torch  # here: no other command needs to wait for it

        torch.set_num_threads(cores)


_LEARNING: Final = (
    click.option(
        "--margin",
        default="cosface",
        show_default=True,
        help="What the true class must win by: adaface, arcface, cosface, curricularface or sphereface.",
    ),
    bounded("--margin-size", help="Radians or cosine, as the margin has it; its usual one unless given."),
    bounded("--scale", default=32.0, help="What the cosines are multiplied by."),
)
_NETWORK: Final = (
    click.option("--backbone", default="slimresnet", show_default=True, help="`kd models` lists them."),
    click.option("--width", default=1.0, show_default=True, help="Width multiplier of the backbone."),
    bounded("--side", default=96, help="Pixels of its crop."),
    click.option(
        "--init",
        type=FOLDER,
        help="A Model folder or a run to begin with: a smaller one of its make grows; only mobilefacenet-folded can be "
        "cut from a teacher.",
    ),
)
_HEAD: Final = (
    click.option(
        "--rows", default="features", show_default=True, help="What the head begins from: features or embedding."
    ),
    bounded("--hidden", default=512, help="Units between its layers; 0: one linear layer."),
    bounded("--drop", default=0.1, help="Share of them that a step leaves out."),
)
_VIEWING: Final = (
    bounded("--mixup", default=0.3, help="Share of blended views."),
    bounded("--low-resolution", default=0.0, help="Share shown at 14-56 px."),
    click.option(
        "--photos-each", default="1-", show_default=True, type=PhotosEach(), help="Only people with FIRST-LAST photos."
    ),
    bounded("--view-seed", default=0, help="What the views follow from, beside the photo."),
)
_OPTIMISING: Final = (
    click.option("--schedule", default="flat", show_default=True, help="flat (then falling), cosine, or step."),
    bounded("--decay", default=0.4, help="Last share of the steps in which flat falls to 0."),
    bounded("--weight-decay", default=0.05),
    bounded("--clip", default=5.0, help="Greatest norm of a gradient."),
    bounded("--ema", default=0.0, help="Decay of a moving average of the weights; 0: none."),
    click.option("--bf16/--fp32", default=False, show_default=True, help="bf16 pays only where the processor has it."),
)


def _amount(
    *, views: int, sampler: str, epochs: int, batch: int, rate: float
) -> tuple[Callable[[Command], Command], ...]:
    """How much is shown, in which order, and how fast it is learnt from, by default."""
    return (
        bounded("--views", default=views, help="Views of a photo."),
        click.option(
            "--sampler",
            default=sampler,
            show_default=True,
            help="photos, class-uniform, superclass-uniform or half-balanced.",
        ),
        bounded("--epochs", default=epochs),
        bounded("--batch", default=batch, help="Views of all ranks."),
        bounded("--rate", default=rate, help="Learning rate after the warm-up."),
    )


_TO_TRAIN: Final = _amount(views=8, sampler="photos", epochs=60, batch=64, rate=4e-3)
_TO_ADAPT: Final = _amount(views=1, sampler="class-uniform", epochs=10, batch=256, rate=3e-4)
_RUNNING: Final = (
    bounded("--seed", default=0),
    click.option("--out", required=True, type=NEW_FOLDER, help="Folder of the run."),
    click.option("--data", type=KEPT_FOLDER, help="Prepared faces, for runs that share them; in the run unless given."),
    bounded("--threads", expose_value=False, callback=_use, help="Cores to use; all of them unless given."),
)


def training_options(command: Command) -> Command:
    """Every option of a run but those that only a student or only a teacher has."""
    for option in reversed((*_LEARNING, *_NETWORK, *_VIEWING, *_TO_TRAIN, *_OPTIMISING, *_RUNNING)):
        command = option(command)
    return command


def adapting_options(command: Command) -> Command:
    """Every option of a run whose network is a head on a model that stays as it is."""
    for option in reversed((*_LEARNING, *_HEAD, *_VIEWING, *_TO_ADAPT, *_OPTIMISING, *_RUNNING)):
        command = option(command)
    return command


def adapt_config(embedder: str, photos: tuple[Path, ...], settings: Mapping[str, Any]) -> AdaptConfig:
    """The options of `kd adapt`, as the settings of a run."""
    settings = {**settings, "embedder": embedder, "subset_teachers": (), "epoch_teachers": None}
    return AdaptConfig(tuple(map(str, photos)), **_groups(ADAPT_GROUPS, settings))


def run_config(photos: tuple[Path, ...], settings: Mapping[str, Any]) -> RunConfig:
    """The options, as the settings of a run."""
    settings = {**settings, "init": None if settings["init"] is None else str(settings["init"])}
    return RunConfig(tuple(map(str, photos)), **_groups(GROUPS, settings))


def _groups(groups: Mapping[str, type], settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: group(**{field.name: settings[field.name] for field in fields(group)}) for name, group in groups.items()
    }


ONLY_OF_STUDENTS: Final = frozenset({"teacher", "classifier", "head", "method", "subset_teachers", "epoch_teachers"})
"""Settings that `kd teacher train` has no option for."""


def option_words(name: str, value: Any) -> list[str]:
    """The option that gives a setting its value, as words of a command line; none where it says nothing."""
    option = "--" + name.replace("_", "-")
    if name == "subset_teachers":
        return [word for teacher in value for word in ("--subset-teacher", teacher)]
    if name == "photos_each":
        first, last = value
        return [option, f"{first}-{'' if last is None else last}"]
    if isinstance(value, bool):
        return [option] if value else []
    return [] if value is None else [option, str(value)]
