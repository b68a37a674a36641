"""The 2×2 of each model on protocols of photos, printed as Markdown.

    python -m benchmarks.accuracy MODEL... --protocol [NAME=][KIND:]PATH... [--photos FOLDER] [--resolution PX...]

A MODEL is a teacher, or STUDENT=TEACHER for the whole 2×2. Protocols and --photos are those of `kd evaluate`.
"""

from dataclasses import replace
from pathlib import Path

import click

from benchmarks.page import processor, publish, write_option
from faces.align import Image
from faces.detect import Detector, Face, open_detector
from faces.models import find_model, open_embedder
from faces.space import digest
from kd.evaluate.documents import markdown_table
from kd.evaluate.figures import Report
from kd.evaluate.protocol import Protocol
from kd.evaluate.readers import open_protocol
from kd.evaluate.report import evaluate
from kd.evaluate.sheet import Sheet, Shown
from kd.evaluate.sheets import sheets

LEFT_OUT = ("Impostor scores",)  # long, and of interest for one model at a time


class OnceDetector:
    """Finds the faces of each picture once, whatever models they are for."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._found: dict[str, list[Face]] = {}

    def detect(self, images: list[Image]) -> list[list[Face]]:
        return [self._faces(image) for image in images]

    def _faces(self, image: Image) -> list[Face]:
        key = digest(repr(image.shape).encode() + image.tobytes())
        if key not in self._found:
            (self._found[key],) = self._detector.detect([image])
        return self._found[key]


@click.command(help=__doc__)
@click.argument("models", nargs=-1, required=True)
@click.option("--protocol", "protocols", multiple=True, required=True)
@click.option("--photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--resolution", "resolutions", multiple=True, type=click.IntRange(1, 112))
@write_option
def main(
    models: tuple[str, ...],
    protocols: tuple[str, ...],
    photos: Path | None,
    resolutions: tuple[int, ...],
    write: bool,
) -> None:
    read = [open_protocol(reference, photos) for reference in protocols]
    detector = OnceDetector(open_detector())
    reports = [judged(name, read, detector, resolutions) for name in models]
    parts = [f"{processor()}. Figures in brackets are 95 % intervals over resamples of people."]
    parts += [f"### {sheet.title}\n\n{markdown_table(sheet)}\n\n{sheet.note}" for sheet in merged(reports)]
    publish("accuracy", "\n\n".join(parts), write=write)


def judged(name: str, protocols: list[Protocol], detector: OnceDetector, resolutions: tuple[int, ...]) -> Report:
    student, _, teacher = name.rpartition("=")
    base = open_embedder(find_model(teacher))
    taught = open_embedder(find_model(student)) if student else None
    return evaluate(protocols, detector, base, taught, resolutions=resolutions)


def merged(reports: list[Report]) -> list[Sheet]:
    """The tables of all models, those of one kind in one."""
    tables: dict[str, Sheet] = {}
    for report in reports:
        model = Shown(
            f"{report.student.name} (S), {report.teacher.name} (T)" if report.student else report.teacher.name
        )
        for sheet in sheets(report):
            rows = tuple((model, *row) for row in sheet.rows)
            known = tables.setdefault(sheet.title, replace(sheet, head=("model", *sheet.head), rows=()))
            tables[sheet.title] = replace(known, rows=known.rows + rows)
    return [sheet for title, sheet in tables.items() if title not in LEFT_OUT]


if __name__ == "__main__":
    main()
