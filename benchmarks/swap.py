"""Changing the model behind a running service: the gate, swaps under load, and what a shadow costs. As Markdown.

    python -m benchmarks.swap PEOPLE PROTOCOL TEACHER STUDENT... [--swaps N] [--clients N] [--write]

PEOPLE is a folder of people, PROTOCOL a file of photos in it (see benchmarks.protocol). TEACHER enrols the gallery;
each STUDENT is measured against it at the gate, on the probes; the first is then swapped with TEACHER.
"""

import itertools
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from app.client import Client
from app.errors import ServiceRefused
from app.schemas import ModelsAnswer
from app.verdicts import DifferenceAnswer, GateAnswer, ShareAnswer
from benchmarks.page import processor, publish, table, write_option
from benchmarks.protocol import enrol, read_protocol

_QUIET = 10.0  # seconds without swaps, to compare with


@click.command(help=__doc__)
@click.argument("people", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("protocol", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("teacher")
@click.argument("students", nargs=-1, required=True)
@click.option("--swaps", default=500)
@click.option("--clients", default=16)
@click.option("--asked", default=150, help="Photos that one client asks about, with a shadow and without.")
@write_option
def main(
    people: Path, protocol: Path, teacher: str, students: tuple[str, ...], swaps: int, clients: int, asked: int,
    write: bool,
) -> None:  # fmt: skip
    roles = read_protocol(people, protocol)
    with tempfile.TemporaryDirectory() as scratch:
        gallery = Path(scratch) / "people.heirloom"
        enrolled = enrol(roles["gallery"], gallery, teacher).subjects
        with serving(teacher, gallery) as url, Client(url) as client:
            probes = [*roles["probe"], *roles["nonmated"]]
            gates = [gated(client, student, probes) for student in students]
            photos = [path.read_bytes() for _, path in roles["probe"][:asked]]
            shadow = shadowed(client, students[0], photos)
            storm = swapped_under_load(url, students[0], swaps, clients, photos)
    notes = [
        f"{processor()}, {os.cpu_count()} cores, clients beside. {enrolled} Subjects enrolled by {teacher}, "
        "a photo each; FPIR 0.01. [95 %, over people].",
        gate_table(gates),
        storm_table(storm, clients),
        shadow_table(shadow),
    ]
    publish("swap", "\n\n".join(notes), write=write)


@contextmanager
def serving(model: str, gallery: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "app.cli", "serve", "--gallery", str(gallery), "--model", model, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(filter(None, (re.search(r"http://[\w.]+:\d+", line) for line in process.stdout))).group()
        finally:
            process.terminate()


@dataclass(frozen=True, slots=True)
class Gated:
    verdict: GateAnswer
    seconds: float
    photos: int


def gated(client: Client, student: str, probes: list[tuple[str, Path]]) -> Gated:
    start = time.perf_counter()
    verdict = client.gate(student, probes)
    return Gated(verdict, time.perf_counter() - start, len(probes))


def gate_table(gates: list[Gated]) -> str:
    rates = ["FNIR", "FNIR now", "rise", "FPIR seen", "FPIR now", "rank-1", "rank-1 kept", "rank-1 agreement"]
    return table(["new model", *rates, "photos/s", "verdict"], [_gate_row(each) for each in gates])


def _gate_row(gate: Gated) -> list[str]:
    found = gate.verdict
    return [
        found.new.model.name,
        _share(found.new.fnir),
        _share(found.old.fnir),
        _signed(found.fnir_rise),
        _share(found.new.fpir),
        _share(found.old.fpir),
        _share(found.new.rank1),
        _share(found.rank1_kept),
        _share(found.rank1_agreement),
        f"{gate.photos / gate.seconds:.1f}",
        "passed" if found.passed else "refused",
    ]


def _share(share: ShareAnswer) -> str:
    return f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]"


def _signed(found: DifferenceAnswer) -> str:
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


@dataclass(frozen=True, slots=True)
class Shadowed:
    """Milliseconds of one request after the other, every second one with a shadow; and what it did."""

    without: list[float]
    beside: list[float]
    compared: int
    dropped: int


def shadowed(client: Client, student: str, photos: list[bytes]) -> Shadowed:
    times: dict[bool, list[float]] = {False: [], True: []}
    compared = dropped = 0
    for start in range(0, len(photos), 25):  # turn and turn about: the machine's moods hit both
        for beside in (False, True):
            client.shadow(student, 1.0 if beside else 0.0)
            for photo in photos[start : start + 25]:
                begun = time.perf_counter()
                client.identify(photo)
                times[beside].append(1000 * (time.perf_counter() - begun))
            watch = client.models().shadow
            if beside and watch is not None:
                compared, dropped = compared + watch.photos, dropped + watch.dropped
    client.shadow(student, 0.0)
    return Shadowed(times[False], times[True], compared, dropped)


def shadow_table(found: Shadowed) -> str:
    head = ["one client", "p50, ms", "p90, ms", "compared", "dropped"]
    rows = [
        ["no shadow", *_percentiles(found.without, 50, 90), "", ""],
        ["a shadow on every request", *_percentiles(found.beside, 50, 90), str(found.compared), str(found.dropped)],
    ]
    return table(head, rows)


@dataclass(frozen=True, slots=True)
class Storm:
    quiet: list[float]
    """Milliseconds of requests while nothing was swapped."""
    answered: list[float]
    """Of those while models were swapped back and forth."""
    failed: int
    disagreeing: int
    """Answers whose Decisions are of another model, or at another threshold, than the answer says."""
    activations: list[float]
    rollbacks: list[float]


def swapped_under_load(url: str, student: str, swaps: int, clients: int, photos: list[bytes]) -> Storm:
    asking = Asking(url, photos)
    with Client(url) as client, ThreadPoolExecutor(clients) as pool:
        calibrated = _thresholds(client.load(student))
        running = [pool.submit(asking.until_told, number, calibrated) for number in range(clients)]
        time.sleep(_QUIET)
        quiet, asking.times = asking.times, []
        activations, rollbacks = [], []
        try:
            for number in range(swaps):
                begun = time.perf_counter()
                if number % 2:
                    client.roll_back()
                else:
                    client.activate(student, force=True)  # whatever the gate said of it
                (rollbacks if number % 2 else activations).append(1000 * (time.perf_counter() - begun))
        finally:
            asking.stop.set()
        for each in running:
            each.result()
    return Storm(quiet, asking.times, asking.failed, asking.disagreeing, activations, rollbacks)


class Asking:
    """Clients that ask one photo after the other."""

    def __init__(self, url: str, photos: list[bytes]) -> None:
        self._url, self._photos = url, photos
        self.stop = threading.Event()
        self.times: list[float] = []
        self.failed = self.disagreeing = 0

    def until_told(self, number: int, calibrated: dict[str, float]) -> None:
        with Client(self._url) as client:
            for photo in itertools.cycle(self._photos[number:] + self._photos[:number]):
                if self.stop.is_set():
                    return
                begun = time.perf_counter()
                try:
                    answer = client.identify(photo)
                except ServiceRefused:
                    self.failed += 1
                    continue
                self.times.append(1000 * (time.perf_counter() - begun))
                said = {(face.decision.model_id, face.decision.threshold) for face in answer.faces}
                self.disagreeing += not said <= {(answer.model.model_id, calibrated[answer.model.model_id])}


def _thresholds(models: ModelsAnswer) -> dict[str, float]:
    """model_id -> the threshold that it decides by."""
    return {model.model_id: model.calibration.threshold for model in (models.active, *models.loaded)}


def storm_table(storm: Storm, clients: int) -> str:
    head = [f"{clients} clients", "requests", "p50, ms", "p99, ms", "failed", "model and threshold disagree"]
    requests = [
        ["no swaps", str(len(storm.quiet)), *_percentiles(storm.quiet, 50, 99), "", ""],
        [
            f"{len(storm.activations) + len(storm.rollbacks)} swaps",
            str(len(storm.answered)),
            *_percentiles(storm.answered, 50, 99),
            str(storm.failed),
            str(storm.disagreeing),
        ],
    ]
    moves = [
        ["activate", str(len(storm.activations)), *_percentiles(storm.activations, 50, 99)],
        ["roll back", str(len(storm.rollbacks)), *_percentiles(storm.rollbacks, 50, 99)],
    ]
    return table(head, requests) + "\n\n" + table(["meanwhile", "times", "p50, ms", "p99, ms"], moves)


def _percentiles(times: list[float], *percents: int) -> list[str]:
    return [f"{value:.1f}" for value in np.percentile(times or [float("nan")], percents)]


if __name__ == "__main__":
    main()
