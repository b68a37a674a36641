"""`kd`: train, judge and export students."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import click

from faces.console import Commands
from kd.config import Distillation, Optimisation, RunConfig, Student

_FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Commands)
@click.version_option(package_name="heirloom")
def main() -> None:
    """Train students that inherit their teacher's embedding space."""


@main.command()
@click.argument("photos", nargs=-1, required=True, type=_FOLDER)
@click.option("--teacher", required=True, help="The Model that defines the Space.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.")
@click.option(
    "--method", default="0.1*proxyless+cosine", show_default=True, help="Losses, joined by +, each with a weight."
)
@click.option("--margin", default="cosface", show_default=True, help="arcface or cosface.")
@click.option("--margin-size", default=0.2, show_default=True, help="Radians for arcface, cosine for cosface.")
@click.option("--scale", default=32.0, show_default=True, help="What the cosines are multiplied by.")
@click.option("--backbone", default="slimresnet", show_default=True, help="slimresnet or mobilefacenet.")
@click.option("--width", default=1.0, show_default=True, help="Width multiplier of the backbone.")
@click.option("--side", default=96, show_default=True, type=click.IntRange(32), help="Pixels of the student's crop.")
@click.option("--epochs", default=60, show_default=True, type=click.IntRange(1))
@click.option("--batch", default=64, show_default=True, type=click.IntRange(2))
@click.option("--rate", default=4e-3, show_default=True, help="Learning rate after the warm-up.")
@click.option(
    "--decay", default=0.4, show_default=True, help="Last share of the steps, over which the rate falls to 0."
)
@click.option("--weight-decay", default=0.05, show_default=True)
@click.option("--views", default=8, show_default=True, type=click.IntRange(1), help="Different views of a photo.")
@click.option("--mixup", default=0.3, show_default=True, type=click.FloatRange(0, 1), help="Share of blended views.")
@click.option("--seed", default=0, show_default=True)
@click.option("--bf16/--fp32", default=False, show_default=True, help="bf16 pays only where the processor has it.")
@click.option("--threads", type=click.IntRange(1), help="Cores to use; all of them unless given.")
@click.option("--init", type=_FOLDER, help="A Model folder or a run whose student to begin with.")
def train(
    photos: tuple[Path, ...],
    teacher: str,
    out: Path,
    init: Path | None,
    threads: int | None,
    **settings: Any,
) -> None:
    """Distil TEACHER into a student on PHOTOS: folders with a folder of photos or aligned crops per person.

    The same command run again goes on where it stopped.
    """
    import torch

    from kd.checkpoint import initial_weights
    from kd.distil import distil

    if threads is not None:
        torch.set_num_threads(threads)
    config = RunConfig(
        tuple(map(str, photos)),
        Student(**_chosen(Student, settings)),
        Distillation(teacher=teacher, **_chosen(Distillation, settings)),
        Optimisation(**_chosen(Optimisation, settings)),
    )
    begin = None if init is None else initial_weights(init)
    distil(config, out, init=begin, tell=lambda sentence: click.echo(sentence, err=True))
    click.echo(f"trained: {out}. Next: kd export {out} --out MODEL, then kd evaluate MODEL.")


def _chosen(group: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are fields of this group of settings."""
    return {field.name: settings[field.name] for field in fields(group) if field.name in settings}


if __name__ == "__main__":
    main()
