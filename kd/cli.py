"""`kd`: train, judge and export students."""

from pathlib import Path
from shlex import quote
from typing import Any

import click
from rich.console import Console

from faces.align import RECIPES
from faces.console import Commands, echo_json
from faces.detect import open_detector
from faces.models import find_model, open_embedder
from faces.space import Licence
from kd.errors import RunsFailed
from kd.options import (
    DATA,
    FILE,
    FOLDER,
    KEPT_FOLDER,
    NEW_FOLDER,
    adapt_config,
    adapting_options,
    bounded,
    run_config,
    training_options,
)


@click.group(cls=Commands)
@click.version_option(package_name="heirloom")
def main() -> None:
    """Train students that inherit their teacher's embedding space."""


@main.command()
@click.argument("photos", nargs=-1, required=True, type=DATA)
@click.option("--teacher", required=True, help="The Model that defines the Space.")
@click.option(
    "--method", default="0.1*proxyless+cosine", show_default=True, help="Losses joined by +: WEIGHT*NAME(KNOB=VALUE)."
)
@click.option("--classifier", default="means", show_default=True, help="The teacher's class weights, or their means.")
@click.option("--head", default="float32", show_default=True, help="How they are stored: float32, bfloat16 or int8.")
@click.option("--subset-teacher", "subset_teachers", multiple=True, metavar="FIRST-LAST=MODEL", help="For subsets.")
@click.option("--epoch-teachers", type=FOLDER, help="For multistep: a run of kd teacher train --keep-epochs.")
@training_options
def train(photos: tuple[Path, ...], **settings: Any) -> None:
    """Distil TEACHER into a student on PHOTOS: folders with a folder of photos or crops per person, or .rec files.

    The same command run again goes on where it stopped; under torchrun it trains on several processes.
    """
    out = _distil(photos, settings | {"dim": None})
    click.echo(f"trained: {out}. {_next(out, settings['teacher'])}")


@main.command()
@click.argument("embedder")
@click.argument("photos", nargs=-1, required=True, type=DATA)
@click.option("--teacher", required=True, help="The Model of the gallery that is to be searched.")
@click.option("--method", default="cosine+0.1*proxyless", show_default=True, help="As in kd train.")
@click.option("--classifier", default="means", show_default=True, help="The teacher's class weights, or their means.")
@click.option("--head", default="float32", show_default=True, help="How they are stored: float32, bfloat16 or int8.")
@adapting_options
def adapt(embedder: str, photos: tuple[Path, ...], **settings: Any) -> None:
    """Fit a small head behind EMBEDDER, a better Model, so that it searches the gallery of TEACHER as it is.

    The same command run again goes on where it stopped.
    """
    from kd.adapt import adapt

    out: Path = settings["out"]
    adapt(adapt_config(embedder, photos, settings), out, tell=_tell, data=settings["data"])
    click.echo(f"adapted: {out}. {_next(out, settings['teacher'])}")


@main.group(cls=Commands)
def teacher() -> None:
    """Train a teacher with a classifier of its own, or bring one from elsewhere."""


@teacher.command(name="train")
@click.argument("photos", nargs=-1, required=True, type=DATA)
@bounded("--dim", default=128, help="Length of its embedding.")
@click.option("--keep-epochs", is_flag=True, help="Keep the weights after each epoch, for --epoch-teachers.")
@training_options
def train_teacher(photos: tuple[Path, ...], keep_epochs: bool, **settings: Any) -> None:
    """Train a teacher on PHOTOS by margin softmax. `kd export` makes it a Model, with its classifier beside it."""
    alone = {"teacher": None, "method": "none", "classifier": "means", "head": "float32"}
    _distil(photos, settings | alone | {"subset_teachers": (), "epoch_teachers": None}, keep_epochs=keep_epochs)


def _next(run: Path, teacher: str) -> str:
    judged = f"kd evaluate MODEL --teacher {quote(teacher)} --protocol PROTOCOL"
    return f"Next: kd export {quote(str(run))} --out MODEL, then {judged}"


def _tell(sentence: str) -> None:
    click.echo(sentence, err=True)


def _distil(photos: tuple[Path, ...], settings: dict[str, Any], *, keep_epochs: bool = False) -> Path:
    from kd.distil import distil

    if settings["epoch_teachers"] is not None:
        settings["epoch_teachers"] = str(settings["epoch_teachers"])
    out: Path = settings["out"]
    distil(
        run_config(photos, settings),
        out,
        tell=_tell,
        data=settings["data"],
        keep_epochs=keep_epochs,
    )
    return out


@teacher.command(name="import")
@click.argument("source")
@click.option("--out", required=True, type=NEW_FOLDER, help="The Model folder to write.")
@click.option("--weights", type=FILE, help="facenet-pytorch's file, instead of downloading it.")
@click.option("--sha256", help="What the weight file must have.")
@click.option("--colour", type=click.Choice(["RGB", "BGR"]), help="Order of an ONNX file's channels; AdaFace: BGR.")
@click.option("--mean", help="Subtracted from its pixels: one number, or three with commas.")
@click.option("--scale", help="What they are then divided by.")
@click.option(
    "--crop",
    type=click.Choice(sorted(RECIPES)),
    help="Which view of the face it was trained on; arcface-112 unless given.",
)
@click.option("--size", help="Pixels of its square crop.")
def import_command(source: str, out: Path, weights: Path | None, sha256: str | None, **given: str | None) -> None:
    """Make a teacher's Model of SOURCE: facenet-vggface2, facenet-casia-webface, or the path of an ONNX file."""
    from kd.imports import import_teacher

    options = {name: value for name, value in given.items() if value is not None}
    card = import_teacher(source, out, options=options, weights=weights, sha256=sha256)
    click.echo(f"imported: {out}, model {card.model_id}, Space {card.space_id}")


@main.command(name="export")
@click.argument("run", type=FOLDER)
@click.option("--out", required=True, type=NEW_FOLDER, help="The Model folder to write.")
@click.option("--name", help="Name in the card; the folder's unless given.")
@click.option("--half", is_flag=True, help="Keep the weights as float16, in half the room.")
@click.option("--weights-licence", default="not stated", show_default=True)
@click.option("--data-licence", default="not stated", show_default=True, help="Terms of the photos trained on.")
def export_command(run: Path, out: Path, name: str | None, half: bool, weights_licence: str, data_licence: str) -> None:
    """Write the student of a RUN as a Model: ONNX (checked against torch), safetensors and a card."""
    from kd.export import export

    licence = Licence(code="Apache-2.0", weights=weights_licence, data=data_licence)
    card = export(run, out, name=name or out.name, licence=licence, half=half)
    click.echo(f"exported: {out}, model {card.model_id}, {card.parameters} parameters, Space {card.space_id}")


@main.command(name="quantize")
@click.argument("model")
@click.argument("photos", nargs=-1, required=True, type=DATA)
@click.option("--out", required=True, type=NEW_FOLDER, help="The Model folder to write.")
@click.option("--name", help="Name in the card; the folder's unless given.")
@click.option("--data", type=KEPT_FOLDER, help="Prepared faces, as kd train keeps them; made anew unless given.")
def quantize_command(model: str, photos: tuple[Path, ...], out: Path, name: str | None, data: Path | None) -> None:
    """Write MODEL in int8: several times faster on most processors. PHOTOS, of its training, show it what to expect."""
    from kd.quantize import faces_for, quantize

    found = find_model(model)
    card = quantize(found, faces_for(found, photos, data), out, name=name or out.name)
    judged = f"kd evaluate {quote(str(out))} --teacher TEACHER --protocol PROTOCOL --write-card LABEL"
    click.echo(f"quantized: {out}, model {card.model_id}. Next, as nothing is measured yet: {judged}")


@main.command(name="evaluate")
@click.argument("model")
@click.option("--teacher", help="The student's teacher, for the 2×2; without it MODEL is judged on its own gallery.")
@click.option(
    "--protocol",
    "protocols",
    required=True,
    multiple=True,
    metavar="[NAME=][KIND:]PATH",
    help="lists (CSV files, the default), bin, templates, people or frontal-profile. May be repeated.",
)
@click.option(
    "--photos", type=FOLDER, help="Folder that paths in lists and templates are relative to; their own unless given."
)
@click.option(
    "--resolution", "resolutions", multiple=True, type=click.IntRange(4, 112), help="Probes at this size too."
)
@click.option("--report", "folder", type=NEW_FOLDER, help="Write report.html, .md, .json and plots here.")
@click.option(
    "--write-card",
    metavar="LABEL",
    help="Write the figures into MODEL's card under this label, or the NAMEs of several protocols.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate_command(
    model: str,
    teacher: str | None,
    protocols: tuple[str, ...],
    photos: Path | None,
    resolutions: tuple[int, ...],
    folder: Path | None,
    write_card: str | None,
    as_json: bool,
) -> None:
    """Can MODEL search the gallery of its teacher? The 2×2 of probe and gallery model, 1:1 and 1:N."""
    from kd.evaluate.documents import as_json as report_json
    from kd.evaluate.documents import write_report
    from kd.evaluate.readers import open_protocols
    from kd.evaluate.report import as_table, evaluate, require_searches, write_measured

    read = open_protocols(protocols, photos, name=write_card)
    if write_card is not None:
        require_searches(read)
    judged = find_model(model)
    base = open_embedder(judged if teacher is None else find_model(teacher))
    student = None if teacher is None else open_embedder(judged)
    report = evaluate(read, open_detector(), base, student, resolutions=resolutions)
    if write_card is not None:
        write_measured(judged, report)
    if folder is not None:
        click.echo(f"report: {write_report(report, folder)}", err=True)
    if as_json:
        click.echo(report_json(report), nl=False)
    else:
        Console().print(as_table(report))


@main.command(name="compare")
@click.argument("photos", nargs=-1, required=True, type=DATA)
@click.option("--teacher", required=True, help="The Model that defines the Space.")
@click.option("--protocol", required=True, help="What students are judged by, as kd evaluate takes it.")
@click.option("--judged-photos", type=FOLDER, help="Folder that the protocol's paths are relative to.")
@click.option(
    "--rival",
    "rivals",
    multiple=True,
    metavar="[LABEL=]METHOD[; SETTING=VALUE]",
    help="A method to compare; all that need nothing but a teacher unless given. Relational ones are anchored besides.",
)
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="From --seed on.")
@click.option("--classifier", default="means", show_default=True, help="The teacher's class weights, or their means.")
@click.option("--head", default="float32", show_default=True, help="How they are stored: float32, bfloat16 or int8.")
@training_options
def compare_command(
    photos: tuple[Path, ...],
    protocol: str,
    judged_photos: Path | None,
    rivals: tuple[str, ...],
    seeds: int,
    **settings: Any,
) -> None:
    """Train the same student by each method, on the same PHOTOS and budget: who searches TEACHER's gallery best?

    The same command run again goes on where it stopped; two of them may work on one folder.
    """
    from kd.compare.compare import compare
    from kd.compare.plan import RIVALS, Plan, both_ways, parse_rival
    from kd.evaluate.readers import open_protocols

    shared = {"method": "none", "subset_teachers": (), "epoch_teachers": None, "dim": None}
    chosen = tuple(map(parse_rival, rivals)) or RIVALS
    first = settings["seed"]
    plan = Plan(run_config(photos, settings | shared), both_ways(chosen), tuple(range(first, first + seeds)))
    out = settings["out"]
    (judged,) = open_protocols([protocol], judged_photos)
    standings = compare(plan, judged, out, data=settings["data"], tell=_tell)
    click.echo((out / "comparison.md").read_text(encoding="utf-8"))
    if standings.failed:
        raise RunsFailed("runs failed", standings.failed, "The table says why; the same command tries them again.")


@main.command()
@click.argument("names", nargs=-1)
@bounded("--dim", default=128, help="Length of the embedding.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(names: tuple[str, ...], dim: int, as_json: bool) -> None:
    """What each backbone, or each of NAMES, costs: parameters, MACs, FLOPs, milliseconds on one thread."""
    from kd.backbones import BACKBONES
    from kd.backbones.summary import as_table, cost

    costs = [cost(name, dim=dim) for name in names or BACKBONES]
    if as_json:
        echo_json(costs)
    else:
        Console().print(as_table(costs))


if __name__ == "__main__":
    main()
