"""`app`: serve a gallery, and swap the model behind it."""

import os
import sys
from pathlib import Path

import click

from app.audit import audit
from app.client import API_KEY, DEFAULT_URL, Client
from app.keys import keys
from app.logs import set_up_logs
from app.references import absolute
from app.schemas import LoadedModel, ModelsAnswer
from app.serve import Started
from app.serve import serve as serve_until_stopped
from app.settings import read_settings
from faces.console import Commands, echo_json
from index.threshold import Threshold


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
@click.option(
    "--fpir", type=float, help="Share of non-enrolled faces that may be answered with somebody.  [default: 0.01]"
)
@click.option("--threshold", type=float, help="A cosine to decide by, for every model, instead of calibrated ones.")
def serve(config: Path | None, **options: object) -> None:
    """Answer photos: POST /identify. Each option can also be a variable, HEIRLOOM_GALLERY and so on, or in a file."""
    settings = read_settings(config, **options)
    set_up_logs(settings.log_format, sys.stderr)
    serve_until_stopped(settings, _announce)


@main.command()
@click.argument("model", required=False)
@click.option("--back", is_flag=True, help="Go back to the previous model.")
@click.option("--url", default=DEFAULT_URL, show_default=True, envvar="HEIRLOOM_URL", help="Where app serve listens.")
@click.option("--json", "as_json", is_flag=True, help="Print the service's answer.")
def swap(model: str | None, back: bool, url: str, as_json: bool) -> None:
    """Let MODEL answer from now on, without a restart and without touching a Template.

    An API key with the scope `admin` is taken from the variable HEIRLOOM_API_KEY.
    """
    if back == (model is not None):
        raise click.UsageError("Give either MODEL or --back.")
    with Client(url, key=os.environ.get(API_KEY)) as client:
        answer = client.roll_back() if model is None else client.activate(_as_seen_by_the_service(model))
    if as_json:
        echo_json(answer)
    else:
        click.echo(_swapped(answer))


main.add_command(keys)
main.add_command(audit)


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


def _swapped(answer: ModelsAnswer) -> str:
    new, old = answer.active, answer.previous
    return f"{_named(old) if old else 'nothing'} → {_named(new)}, threshold {new.calibration.threshold:.4f}"


def _named(model: LoadedModel) -> str:
    return f"{model.name} ({model.role}, {model.model_id})"


if __name__ == "__main__":
    main()
