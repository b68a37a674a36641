"""`index`: build a gallery, search it, look after it."""

from pathlib import Path

import click

from faces.console import Commands, Finite, progress
from faces.detect import open_detector
from faces.image import ImageLimits, read_image
from faces.models import Model, find_model, open_embedder
from index import report
from index.answers import PhotoAnswer
from index.build import build_gallery, find_people, photo_bytes
from index.calibrate import Calibration, chosen, current_threshold, measured_here
from index.commands import options
from index.commands.approximate import approximate
from index.commands.audit import audit
from index.commands.backup import backup, restore
from index.commands.exchange import export, import_, subject
from index.commands.forget import forget
from index.commands.sealing import rotate_key, seal, unseal
from index.device import Device, engine_on
from index.errors import NothingToEnrol
from index.gallery import LocalGallery, open_gallery, open_or_create_gallery
from index.identify import OneByOne, identify
from index.overview import check as check_all
from index.overview import overview
from index.plot import picture, require_plot, write_plot
from index.probes import read_probes
from index.store import open_store
from index.trials import Probes

_model = click.option(
    "--model", required=True, help="Of the probes: a shipped name, dlib, onnx:PATH, or the folder of a Model."
)


@click.group(cls=Commands)
@click.version_option(package_name="heirloom")
def main() -> None:
    """Build, search and look after a gallery of faces."""


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@options.gallery
@click.option("--teacher", required=True, help="The Model that makes the Templates: dlib, onnx:PATH, or a folder.")
@click.option("--strict", is_flag=True, help="Leave out what is poor, there already, or closer to somebody else.")
@options.as_json
def build(folder: Path, path: Path, teacher: str, strict: bool, as_json: bool) -> None:
    """Enrol the photos in FOLDER/PERSON/; the name of each person's folder is the subject id.

    Every photo that is not enrolled is named with the reason, and so is what speaks against one that is. Run again, it
    goes on with what is new.
    """
    people = find_people(folder)
    embedder, detector = open_embedder(find_model(teacher)), open_detector()
    with (
        open_or_create_gallery(path, embedder.space) as gallery,
        progress("photos", len(people.photos)) as advance,
    ):
        built = build_gallery(people, gallery, detector, embedder, strict=strict, report_progress=advance)
    options.show(built, as_json, report.built)
    if not built.enrolled and not built.already:
        raise NothingToEnrol("no photo could be enrolled from", str(folder), "See the reason of each above.")


@main.command()
@click.argument("photo", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@options.gallery
@_model
@click.option("--top-k", type=click.IntRange(1, 1000), default=5, show_default=True, help="Candidates a face.")
@click.option("--fpir", type=Finite(0, 1, True, True), default=0.01, show_default=True, help="See calibrate.")
@click.option("--threshold", type=Finite(), help="Decide by this cosine instead of a calibrated one.")
@options.device
@options.as_json
def search(
    photo: Path,
    path: Path,
    model: str,
    top_k: int,
    fpir: float,
    threshold: float | None,
    device: Device,
    as_json: bool,
) -> None:
    """Name every face in PHOTO: the nearest Subjects, and which of them it is, or unknown."""
    limits = ImageLimits()
    image = read_image(photo_bytes(photo, limits), limits)
    found = find_model(model)
    with open_gallery(path, engine=engine_on(device)) as gallery:
        gallery.require_space(found.card.space)
        by = (
            current_threshold(gallery, found.card, fpir)
            if threshold is None
            else chosen(threshold, gallery, found.card)
        )
        stages = OneByOne(gallery, open_detector(), open_embedder(found))
        answer = identify(lambda: image, stages, by, top_k)
    options.show(PhotoAnswer.of(found.card, answer), as_json, report.identified)


@main.command()
@options.gallery
@_model
@click.option(
    "--probes",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Photos of people by name, FOLDER/PERSON/: a person named with a subject id is enrolled, others are not.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw scores and rates: .png or .svg.")
@options.device
@options.as_json
def calibrate(path: Path, model: str, probes: Path | None, plot: Path | None, device: Device, as_json: bool) -> None:
    """Print and store the thresholds of a model in this gallery, for FPIR 0.1, 0.01 and 0.001, and what each rests on.

    FPIR: the share of people who are not enrolled and are yet answered with somebody. With --probes it is counted on
    them, else on the gallery's own people, each searched for among all others.
    """
    if plot is not None:
        require_plot(plot)
    found = find_model(model)
    with open_gallery(path, engine=engine_on(device)) as gallery:
        gallery.require_space(found.card.space)
        labelled = None if probes is None else _probes(probes, gallery, found)
        with progress("searches", None) as advance:
            calibration = Calibration(gallery, found.card, labelled, report_progress=advance)
            table = calibration.table()
        gallery.put_thresholds(measured_here(table))
        options.show(table, as_json, report.thresholds)
        if plot is not None:
            title = f"{found.card.name} in {path.name}, N = {calibration.subjects:,}"
            write_plot(plot, picture(title, calibration, table))


def _probes(folder: Path, gallery: LocalGallery, model: Model) -> Probes:
    people = find_people(folder)
    with progress("photos", len(people.photos)) as advance:
        read = read_probes(people, gallery.sources(), open_detector(), open_embedder(model), report_progress=advance)
    if read.skipped:
        click.echo(report.not_probes(read.skipped), err=True)
    return read.probes


@main.command()
@options.gallery
@options.collection
@options.as_json
def stats(path: Path, collection: str, as_json: bool) -> None:
    """Count Subjects and Templates, and say what the file and its backups hold."""
    with open_gallery(path, collection) as gallery:
        found = overview(gallery)
    options.show(found, as_json, report.counted)


@main.command()
@options.gallery
@options.as_json
@click.pass_context
def check(ctx: click.Context, path: Path, as_json: bool) -> None:
    """Say what is wrong with a file: its rows, its log, its caches, its backups. Exit code 1 when anything is."""
    with open_store(path) as store:
        problems = check_all(store)
    options.show(problems, as_json, report.checked)
    ctx.exit(1 if problems else 0)


for command in (approximate, backup, restore, export, import_, subject, seal, rotate_key, unseal, audit, forget):
    main.add_command(command)


if __name__ == "__main__":
    main()
