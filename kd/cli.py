"""`kd`: train, judge and export students."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from faces.console import Commands, echo_json
from faces.detect import open_detector
from faces.models import find_model, open_embedder
from faces.space import Licence
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


@main.command(name="export")
@click.argument("run", type=_FOLDER)
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The Model folder to write."
)
@click.option("--name", help="Name in the card; the folder's unless given.")
@click.option("--weights-licence", default="not stated", show_default=True)
@click.option("--data-licence", default="not stated", show_default=True, help="Terms of the photos trained on.")
def export_command(run: Path, out: Path, name: str | None, weights_licence: str, data_licence: str) -> None:
    """Write the student of a RUN as a Model: ONNX (checked against torch), safetensors and a card."""
    from kd.export import export

    licence = Licence(code="Apache-2.0", weights=weights_licence, data=data_licence)
    card = export(run, out, name=name or out.name, licence=licence)
    click.echo(f"exported: {out}, model {card.model_id}, {card.parameters} parameters, Space {card.space_id}")


@main.command(name="evaluate")
@click.argument("model")
@click.option("--teacher", help="The student's teacher, for the 2×2; without it MODEL is judged on its own gallery.")
@click.option("--photos", required=True, type=_FOLDER, help="Folder that the protocol's paths are relative to.")
@click.option("--protocol", required=True, type=_FOLDER, help="Folder with *identification.csv and *pairs.csv.")
@click.option("--write-card", metavar="LABEL", help="Write the figures into MODEL's card under this label.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate_command(
    model: str, teacher: str | None, photos: Path, protocol: Path, write_card: str | None, as_json: bool
) -> None:
    """Can MODEL search the gallery of its teacher? The 2×2 of probe and gallery model, 1:1 and 1:N."""
    from kd.evaluate.protocol import find_protocol
    from kd.evaluate.report import as_table, evaluate, write_measured

    read = find_protocol(protocol)
    judged = find_model(model)
    base = open_embedder(judged if teacher is None else find_model(teacher))
    student = None if teacher is None else open_embedder(judged)
    grids = evaluate(read, photos, open_detector(), base, student)
    if write_card is not None:
        write_measured(judged, write_card, grids)
    if as_json:
        echo_json({str(subjects): grid for subjects, grid in grids.items()})
    else:
        Console().print(as_table(grids))


def _chosen(group: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are fields of this group of settings."""
    return {field.name: settings[field.name] for field in fields(group) if field.name in settings}


if __name__ == "__main__":
    main()
