"""The 2×2 of each model on a protocol of photos, printed as Markdown.

    python -m benchmarks.accuracy PHOTOS PROTOCOL MODEL... [--write]

A MODEL is a teacher, or STUDENT=TEACHER for the whole 2×2.
"""

from pathlib import Path

import click

from benchmarks.page import processor, publish, table, write_option
from faces.detect import open_detector
from faces.models import find_model, open_embedder
from faces.space import Cell
from kd.evaluate.protocol import find_protocol
from kd.evaluate.report import evaluate


@click.command(help=__doc__)
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("protocol", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("models", nargs=-1, required=True)
@write_option
def main(photos: Path, protocol: Path, models: tuple[str, ...], write: bool) -> None:
    read, detector = find_protocol(protocol), open_detector()
    rows = []
    for name in models:
        student, _, teacher = name.rpartition("=")
        base = open_embedder(find_model(teacher))
        taught = open_embedder(find_model(student)) if student else None
        for subjects, grid in evaluate(read, photos, detector, base, taught).items():
            for probes, cell in grid.items():
                shown = f"{taught.card.name} (S), {base.card.name} (T)" if taught else base.card.name
                rows.append([shown, probes, str(subjects), *figures(cell), f"{cell.rank1 / grid['T→T'].rank1:.3f}"])
    head = ["model", "probe → gallery", "N", "pairs", "rank-1", "FNIR at FPIR 0.1", "FNIR at FPIR 0.01", "retention"]
    note = f"{len(read.pairs)} pairs, {len(read.identification.probe)} mated and {len(read.identification.nonmated)} "
    note += "non-mated probes; a photo without a face is a miss. FPIR 0.01 rests on "
    note += f"{int(0.01 * len(read.identification.nonmated))} probes."
    publish("accuracy", f"{processor()}. {note}\n\n{table(head, rows)}", write=write)


def figures(cell: Cell) -> list[str]:
    pairs = "–" if cell.pairs is None else f"{cell.pairs:.3f}"
    return [pairs, f"{cell.rank1:.3f}", f"{cell.fnir['0.1']:.3f}", f"{cell.fnir['0.01']:.3f}"]


if __name__ == "__main__":
    main()
