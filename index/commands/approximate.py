"""`index approximate`: a faster search that may miss somebody, once it is known how often."""

from pathlib import Path

import click

from faces.console import Finite, progress
from index.commands import options, words
from index.device import Device, engine_on
from index.gallery import open_gallery, utc_now
from index.recall import FEWEST_SUBJECTS, MOST_PROBES, accepted

_PROBES = click.IntRange(FEWEST_SUBJECTS, MOST_PROBES)


@click.command()
@options.gallery
@options.collection
@click.option("--from", "start", type=click.IntRange(1), help="Search exactly as long as there are fewer Templates.")
@click.option("--floor", type=Finite(0, 1), default=0.99, show_default=True, help="The least recall@1.")
@click.option("--probes", type=_PROBES, default=500, show_default=True, help="Templates to measure with.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed takes other Templates.")
@options.device
@click.option("--off", is_flag=True, help="Search exactly again.")
@options.as_json
def approximate(
    path: Path,
    collection: str,
    start: int | None,
    floor: float,
    probes: int,
    seed: int,
    device: Device,
    off: bool,
    as_json: bool,
) -> None:
    """Search a gallery of millions faster, without looking at every Template: somebody may be missed.

    How often, is measured first, with the gallery's own Templates, each searched for among all others. Where more is
    missed than --floor allows, the search stays as it is.
    """
    if off == (start is not None):
        raise click.UsageError("Give either --from N or --off.")
    with open_gallery(path, collection, engine=engine_on(device)) as gallery:
        if start is None:
            gallery.approximate(None)
            return
        with progress("searches", None) as advance:
            recall = gallery.recall(probes, seed, report_progress=advance)
        options.show(recall, as_json, words.recalled)
        gallery.approximate(accepted(recall, start, floor, utc_now().date().isoformat()))
