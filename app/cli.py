"""`app`: serve a gallery, and swap the model behind it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from app import report
from app.audit import audit
from app.checkup import doctor
from app.client import API_KEY, DEFAULT_URL, Client
from app.errors import GateRefused
from app.keys import keys
from app.logs import set_up_logs
from app.references import absolute
from app.serve import Started
from app.serve import serve as serve_until_stopped
from app.settings import read_settings
from app.verdicts import GateAnswer
from faces.console import Commands, Finite, echo_json, progress
from index.answers import Schema
from index.build import find_people
from index.threshold import Threshold

_Answer = TypeVar("_Answer", bound=Schema)


@click.group(cls=Commands)
@click.version_option(package_name="heirloom")
def main() -> None:
    """Serve a gallery over HTTP, and exchange the model behind it while it runs."""


@main.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help="A TOML file of settings.  [default: the one in HEIRLOOM_CONFIG]"
)
@click.option("--gallery", type=click.Path(path_type=Path), help="The gallery file that is searched.")
@click.option(
    "--model",
    help="A shipped name, dlib, onnx:PATH, or the folder of a Model. Not given: the one this gallery was last served "
    "with. A swap outlives a restart with the same --model; another --model outvotes the swap.",
)
@click.option("--forget-swap", is_flag=True, default=None, help="Start with --model, whatever was swapped to since.")
@click.option("--host", help="The address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="The port; 0 takes a free one.  [default: 8000]")
@click.option("--threads", type=int, help="Cores that inference may use.  [default: all]")
@click.option("--device", help="Where the gallery is searched: cpu, cuda, or auto.  [default: auto]")
@click.option(
    "--fpir", type=float, help="Share of non-enrolled faces that may be answered with somebody.  [default: 0.01]"
)
@click.option("--threshold", type=float, help="A cosine to decide by, for every model, instead of calibrated ones.")
@click.option(
    "--probes",
    type=click.Path(path_type=Path),
    help="A folder of people, and _strangers, whose photos every new model is measured with before it takes over.",
)
@click.option("--floor", help="What a new model has to reach.  [default: fnir=0.05,kept=0.9]")
def serve(config: Path | None, **options: object) -> None:
    """Answer photos: POST /identify. Each option can also be a variable, HEIRLOOM_GALLERY and so on, or in a file."""
    settings = read_settings(config, **options)
    set_up_logs(settings.log_format, sys.stderr)
    serve_until_stopped(settings, _announce)


@main.command()
@click.argument("model", required=False)
@click.option("--back", is_flag=True, help="Go back to the previous model.")
@click.option(
    "--probes",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Measure MODEL first, on the photos in FOLDER/SUBJECT/; those of people who are not enrolled, and those in "
    "FOLDER/_strangers/, are non-mated. Photos that are enrolled are no probes.  [default: those of the service]",
)
@click.option("--collection", help="Where both models search.  [default: the one that the service was started with]")
@click.option("--floor", default="", help="What MODEL has to reach, as fnir=0.05,kept=0.9.  [default: the service's]")
@click.option("--force", is_flag=True, help="Swap whatever was measured; this is recorded.")
@click.option(
    "--shadow",
    type=Finite(0, 1),
    help="Do not swap, but compare MODEL on this share of live requests. 0 ends it.",
)
@click.option("--url", default=DEFAULT_URL, show_default=True, envvar="HEIRLOOM_URL", help="Where app serve listens.")
@click.option("--json", "as_json", is_flag=True, help="Print the service's answer.")
def swap(
    model: str | None, back: bool, probes: Path | None, collection: str | None, floor: str, force: bool,
    shadow: float | None, url: str, as_json: bool,
) -> None:  # fmt: skip
    """Let MODEL answer from now on, without a restart and without touching a Template.

    Exit code 1 when the gate refuses it; the table is printed either way. An API key with the scope `admin` is taken
    from the variable HEIRLOOM_API_KEY.
    """
    if back == (model is not None):
        raise click.UsageError("Give either MODEL or --back.")
    if back and (probes or collection or floor or force or shadow is not None):
        raise click.UsageError("--back goes with --url and --json alone.")
    if collection and not probes:
        raise click.UsageError("--collection says where the photos of --probes are searched for: give both.")
    with Client(url, key=os.environ.get(API_KEY)) as client:
        if model is None:
            _print(client.roll_back(), as_json, report.swapped)
            return
        name = _as_seen_by_the_service(model)
        verdict = _measured(client, name, probes, collection, floor)
        if verdict is not None:
            name = verdict.new.model.model_id
            refused = not (verdict.passed or force or shadow is not None)
            if refused or not as_json:  # whose answer has the verdict, too
                _print(verdict, as_json, report.judged)
            if refused:
                raise GateRefused("the gate refuses this model", model, "The old one answers. --force swaps even so.")
        if shadow is not None:
            _print(client.shadow(name, shadow), as_json, report.shadowed)
        else:
            _print(client.activate(name, force=force), as_json, report.swapped)


def _measured(client: Client, name: str, probes: Path | None, collection: str | None, floor: str) -> GateAnswer | None:
    """What the gate says of a model: on these probes, else on the service's own; None where there are neither."""
    if probes is None:
        return client.gate(name, floor=floor) if client.models().stored_probes else None
    people = find_people(probes)
    photos = [(photo.subject_id, photo.path) for photo in people.photos]
    with progress("probes", len(photos)) as advance:
        return client.gate(name, photos, collection=collection, floor=floor, report_progress=advance)


main.add_command(keys)
main.add_command(audit)
main.add_command(doctor)


def _as_seen_by_the_service(model: str) -> str:
    """A path of here is made absolute; a name stays as it is, known here or not."""
    return absolute(model) if model.startswith("onnx:") or Path(model).is_dir() else model


def _announce(started: Started) -> None:
    engine = started.engine
    active, stats = engine.switch.models.active, engine.gallery.stats()
    card, threshold = active.card, active.threshold
    if not started.locked:
        click.echo(
            "Warning: there is no API key, so whoever can run a program on this machine may do anything here. "
            "Create one with app keys create: from then on the service asks for keys.",
            err=True,
        )
    click.echo(
        f"{stats.subjects} subjects, {stats.templates} templates, model {card.name} ({card.role}, {card.model_id})\n"
        f"threshold {threshold.value:.4f} {_meaning(threshold)}\n"
        f"Ready: {started.url}\n"
        f"  curl -F image=@photo.jpg '{started.url}/identify?top_k=5'"
    )


def _meaning(threshold: Threshold) -> str:
    if threshold.fpir is None:
        return "as chosen: no FPIR is known for it"
    return f"for FPIR {threshold.fpir:g} at {threshold.subjects} subjects, from the {threshold.calibrated_on}"


def _print(value: _Answer, as_json: bool, in_words: Callable[[_Answer], str]) -> None:
    if as_json:
        echo_json(value)
    else:
        click.echo(in_words(value))


if __name__ == "__main__":
    main()
