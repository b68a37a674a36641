"""From folder to answers, by the programs that users run: build, start, ask. Printed as Markdown.

    python -m benchmarks.identify PEOPLE TEACHER STUDENT... [--photos N] [--write]

PEOPLE is a folder of people; its first N photos, in the order of the folder, are enrolled by TEACHER and asked again.
"""

import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from app.client import Client
from benchmarks.page import processor, publish, table, write_option

STAGES = ["decode", "detect", "align", "quality", "embed", "search"]
THRESHOLD = "0.5"  # what is measured does not depend on it


@click.command(help=__doc__)
@click.argument("people", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("teacher")
@click.argument("students", nargs=-1)
@click.option("--photos", default=400)
@write_option
def main(people: Path, teacher: str, students: tuple[str, ...], photos: int, write: bool) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        chosen = list(itertools.islice(sorted(people.glob("*/*.jpg")), photos))
        folder, gallery = copied(chosen, Path(scratch) / "people"), Path(scratch) / "gallery.heirloom"
        command = [sys.executable, "-m", "index.cli", "build", str(folder), "--gallery", str(gallery)]
        start = time.perf_counter()
        subprocess.run([*command, "--teacher", teacher, "--json"], check=True, stdout=subprocess.DEVNULL)
        rate = len(chosen) / (time.perf_counter() - start)
        asked = [asked_of(model, gallery, chosen) for model in (teacher, *students)]
    head = ["active model", *STAGES, "whole request", "start-up, s", "resident, MB"]
    notes = [
        f"{processor()}, {os.cpu_count()} cores. `index build` with {teacher}: {rate:.1f} photos/s, "
        f"{len(chosen)} photos. One client, one request at a time, median ms a photo of each stage.",
        table(head, [answers.row() for answers in asked]),
        f"The environment that printed this holds {environment_size():.0f} MB.",
    ]
    publish("identify", "\n\n".join(notes), write=write)


@dataclass(frozen=True, slots=True)
class Answers:
    model: str
    timings: list[dict[str, float]]
    requests: list[float]
    started: float
    resident: float

    def row(self) -> list[str]:
        stages = [f"{statistics.median(timing[stage] for timing in self.timings):.1f}" for stage in STAGES]
        whole = f"{statistics.median(self.requests):.1f}"
        return [self.model, *stages, whole, f"{self.started:.1f}", f"{self.resident:.0f}"]


def copied(photos: list[Path], folder: Path) -> Path:
    for photo in photos:
        (folder / photo.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, folder / photo.parent.name)
    return folder


def asked_of(model: str, gallery: Path, photos: list[Path]) -> Answers:
    """Start the service on a model and send it every photo."""
    start = time.perf_counter()
    with serving(model, gallery) as (url, process), Client(url) as client:
        started = time.perf_counter() - start
        timings, requests = [], []
        for photo in photos:
            before = time.perf_counter()
            answer = client.identify(photo.read_bytes())
            requests.append(1000 * (time.perf_counter() - before))
            timings.append(dict(answer.timings_ms))
        return Answers(model, timings, requests, started, resident(process.pid))


@contextmanager
def serving(model: str, gallery: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    command = [sys.executable, "-m", "app.cli", "serve", "--gallery", str(gallery), "--model", model]
    with subprocess.Popen(
        [*command, "--port", "0", "--threshold", THRESHOLD],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            found = next(filter(None, (re.search(r"http://[\w.]+:\d+", line) for line in process.stdout)))
            yield found.group(), process
        finally:
            process.terminate()


def resident(pid: int) -> float:
    """Megabytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found.group(1)) / 1024


def environment_size() -> float:
    """Megabytes of the virtual environment that runs this."""
    files = (path for path in Path(sys.prefix).rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 2**20


if __name__ == "__main__":
    main()
