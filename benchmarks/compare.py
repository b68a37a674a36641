"""Every method on the same student, photos and budget: the table of a comparison that `kd compare` has made.

    python -m benchmarks.compare FOLDER [--write]

With --write the plot goes beside the page.
"""

import shutil
from pathlib import Path

import click

from benchmarks.page import PAGE, processor, publish, write_option
from kd.compare.report import NAME


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@write_option
def main(folder: Path, write: bool) -> None:
    said = (folder / f"{NAME}.md").read_text(encoding="utf-8").strip()
    plot = f"![S→T over S→S rank-1 of each method]({NAME}.png)"
    publish("compare", f"{processor()}. {said}\n\n{plot}", write=write)
    if write:
        shutil.copyfile(folder / f"{NAME}.png", PAGE.with_name(f"{NAME}.png"))


if __name__ == "__main__":
    main()
