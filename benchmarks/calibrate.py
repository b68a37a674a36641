"""What thresholds keep of what they promise, on people who had no part in them. Printed as Markdown.

    python -m benchmarks.calibrate PEOPLE PROTOCOL TEACHER MODEL... [--splits N] [--write]

TEACHER enrols the gallery of PROTOCOL (see benchmarks.protocol), with its distractors and without. Each MODEL is then
calibrated by that gallery alone, and by the probes of half of the people; judged are the probes of the other half.
"""

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.page import publish, table, write_option
from benchmarks.protocol import Named, as_people, enrol, read_protocol
from faces.detect import open_detector
from faces.models import Model, find_model, open_embedder
from index.calibrate import Calibration
from index.gallery import LocalGallery, open_gallery
from index.probes import read_probes
from index.threshold import Threshold
from index.trials import Probes

FPIRS = (0.1, 0.01)
GALLERY, PROBES = "the gallery alone", "probes of the other half"


@click.command(help=__doc__)
@click.argument("people", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("protocol", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("teacher")
@click.argument("models", nargs=-1, required=True)
@click.option("--splits", default=20, help="Of the people into halves.")
@write_option
def main(people: Path, protocol: Path, teacher: str, models: tuple[str, ...], splits: int, write: bool) -> None:
    roles = read_protocol(people, protocol)
    enrolled, rows = roles["gallery"], []
    with tempfile.TemporaryDirectory() as scratch:
        for number, photos in enumerate((enrolled, [*enrolled, *roles.get("distractor", [])])):
            path = Path(scratch) / f"{number}.heirloom"
            enrol(photos, path, teacher)
            with open_gallery(path) as gallery:
                for name in models:
                    rows += judged(gallery, find_model(name), [*roles["probe"], *roles["nonmated"]], splits)
    head = ["probes by", "N", "calibrated on", "FPIR asked", "threshold", "FPIR of strangers", "FNIR", "no threshold"]
    note = (
        f"Enrolled by {teacher}. Mean ± standard deviation over {2 * splits} halves of the people; FNIR at rank 1, "
        "of those who are enrolled. *No threshold*: halves for which calibration refused to give one."
    )
    publish("calibrate", f"{note}\n\n{table(head, rows)}", write=write)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """To the probes of a gallery: the nearest Subject of each, and its score."""

    people: NDArray[np.str_]
    nearest: NDArray[np.str_]
    scores: NDArray[np.float64]
    enrolled: NDArray[np.bool_]

    def rates(self, chosen: NDArray[np.bool_], threshold: float) -> tuple[float, float]:
        """FPIR and FNIR of the chosen probes."""
        over = self.scores >= threshold
        found = over & (self.nearest == self.people)
        return float(over[chosen & ~self.enrolled].mean()), float(1 - found[chosen & self.enrolled].mean())


def judged(gallery: LocalGallery, model: Model, photos: Named, splits: int) -> Iterator[list[str]]:
    """A row of the table for each kind of calibration and each FPIR."""
    probes = read_probes(as_people(photos), gallery.sources(), open_detector(), open_embedder(model)).probes
    answers = answered(gallery, probes)
    alone = Calibration(gallery, model.card)
    of_gallery = {row.fpir: row.threshold for row in alone.table(FPIRS)}
    halves = list(halved(answers.people, splits))
    of_halves = [
        {row.fpir: row.threshold for row in Calibration(gallery, model.card, part(probes, ~half)).table(FPIRS)}
        for half in halves
    ]
    for fpir in FPIRS:
        for what, found in (
            (GALLERY, [of_gallery[fpir]] * len(halves)),
            (PROBES, [thresholds[fpir] for thresholds in of_halves]),
        ):
            yield [model.card.name, f"{alone.subjects:,}", what, f"{fpir:g}", *kept(answers, halves, found)]


def answered(gallery: LocalGallery, probes: Probes) -> Answers:
    found = [candidates[0] for candidates in gallery.search(probes.rows, 1, space=gallery.space)]
    known = {subject.subject_id for subject in gallery.subjects(gallery.stats().subjects)}
    return Answers(
        np.array(probes.people),
        np.array([candidate.subject_id for candidate in found]),
        np.array([candidate.score for candidate in found]),
        np.array([person in known for person in probes.people]),
    )


def halved(people: NDArray[np.str_], splits: int) -> Iterator[NDArray[np.bool_]]:
    """Both halves of each split, as masks of the probes: nobody is in both."""
    names = np.unique(people)
    for seed in range(splits):
        some = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
        half = np.isin(people, some)
        yield half
        yield ~half


def part(probes: Probes, chosen: NDArray[np.bool_]) -> Probes:
    people = tuple(person for person, there in zip(probes.people, chosen, strict=True) if there)
    return Probes(people, probes.rows[chosen])


def kept(answers: Answers, halves: Sequence[NDArray[np.bool_]], thresholds: Sequence[Threshold | None]) -> list[str]:
    """The threshold, and the rates at it; and of how many halves there was none."""
    some = [(half, found.value) for half, found in zip(halves, thresholds, strict=True) if found is not None]
    if not some:
        return ["–", "–", "–", f"{len(halves)} of {len(halves)}"]
    rates = [answers.rates(half, value) for half, value in some]
    columns = ([value for _, value in some], *zip(*rates, strict=True))
    shown = [f"{statistics.mean(column):.3f} ± {statistics.pstdev(column):.3f}" for column in columns]
    return [*shown, f"{len(halves) - len(some)} of {len(halves)}"]


if __name__ == "__main__":
    main()
