"""The service under load, by clients in another process. Printed as Markdown.

    python -m benchmarks.serve PEOPLE MODEL [--subjects N] [--seconds S] [--rounds R] [--minutes M]
                               [--reference FILE] [--threshold T] [--write]

PEOPLE is a folder of people: its first --people are enrolled by MODEL among others who never were (benchmarks.crowd),
and all of their photos are asked. Every row is measured --rounds times in turn, for --seconds each: a throughput is the
median of the rounds, latencies are those of all rounds together, from the moment at which a request was meant to be
sent (benchmarks.load). --minutes: how long the memory is watched. --reference: see benchmarks.detect.
"""

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np

from app.client import Client
from benchmarks.crowd import write_gallery
from benchmarks.identify import resident
from benchmarks.load import Connection, forms_of
from benchmarks.page import processor, publish, table, write_option
from benchmarks.peers import peers
from faces.detect import open_detector
from faces.image import read_image
from faces.models import find_model, open_embedder
from index.calibrate import chosen
from index.gallery import open_gallery
from index.identify import OneByOne, identify

START_SUBJECTS = 100_000  # of the gallery that the first answer is measured with
WARM = 2.0  # seconds of load that are not measured
EVERY = 10.0  # seconds between two looks at the memory
PEER_PHOTOS = 10
PAIRS = 400  # photos that HTTP and the pipeline are compared on
IN_TURN = 20  # of them, before the other way has its turn


@dataclass(frozen=True, slots=True)
class Service:
    url: str
    pid: int
    first_answer: float
    """Seconds from the start of the process to its first answer."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one load."""

    statuses: tuple[int, ...]
    latencies: tuple[float, ...]
    """Milliseconds of the requests that were answered with 200."""
    seconds: float

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def failures(self, shed: bool) -> int:
        """Requests that were not answered; `shed`: an answer of 503 is no failure."""
        return sum(status != 200 and not (shed and status == 503) for status in self.statuses)


Measure = Callable[[], Load]


@click.command(help=__doc__)
@click.argument("people", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("model")
@click.option("--people", "enrolled", default=300, help="Real people that are enrolled and asked.")
@click.option("--subjects", default=200_000, help="Subjects of the gallery.")
@click.option("--seconds", default=20.0)
@click.option("--rounds", default=3)
@click.option("--minutes", default=0.0, help="How long the memory is watched.")
@click.option("--reference", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--threshold", type=float, help="Serve with this one instead of a calibrated one.")
@write_option
def main(
    people: Path,
    model: str,
    enrolled: int,
    subjects: int,
    seconds: float,
    rounds: int,
    minutes: float,
    reference: Path | None,
    threshold: float | None,
    write: bool,
) -> None:
    options = [] if threshold is None else ["--threshold", str(threshold)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = copied(people, Path(scratch, "people"), enrolled)
        galleries = {count: Path(scratch, f"{count}.heirloom") for count in {subjects, min(subjects, START_SUBJECTS)}}
        for count, path in galleries.items():
            write_gallery(path, folder, model, count, seed=0)
        gallery = galleries[subjects]
        with serving(model, gallery, folder, options) as service:
            load(service.url, folder, "closed", clients=4, seconds=WARM)
            parts = [
                closed_table(service, folder, seconds, rounds),
                open_table(service, folder, seconds, rounds),
                overhead(service, model, gallery, folder),
                peer_table(service, folder, subjects, Path(scratch), reference),
            ]
            if minutes:
                parts.append(memory_table(service, folder, minutes))
        count = min(subjects, START_SUBJECTS)
        parts.append(start_table(model, galleries[count], folder, options, count, rounds))
    about = (
        f"{processor()}, {os.cpu_count()} cores, which the clients share with the service. {model}, a gallery of "
        f"{subjects:,} Subjects ({enrolled} of them real), photos of the real ones."
    )
    publish("serve", "\n\n".join([about, *parts]), write=write)


def copied(people: Path, folder: Path, count: int) -> Path:
    for person in sorted(path for path in people.iterdir() if path.is_dir())[:count]:
        shutil.copytree(person, folder / person.name)
    return folder


@contextmanager
def serving(model: str, gallery: Path, folder: Path, options: Sequence[str]) -> Iterator[Service]:
    """`app serve`, once it has answered a photo; stopped at the end."""
    command = [sys.executable, "-m", "app.cli", "serve", "--gallery", str(gallery), "--model", model, "--port", "0"]
    start = time.perf_counter()
    with subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"HEIRLOOM_RATE": "0"},  # nothing but what the service can do holds anybody back
    ) as process:
        assert process.stdout is not None
        try:
            url = next(line.split()[1] for line in process.stdout if line.startswith("Ready: "))
            with Client(url) as client:
                client.identify(next(folder.glob("*/*.jpg")))
            yield Service(url, process.pid, time.perf_counter() - start)
        finally:
            process.terminate()


def load(url: str, folder: Path, kind: str, **options: float) -> Load:
    """Run benchmarks.load beside this process."""
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "benchmarks.load", kind, url, str(folder), *flags]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    answers = [json.loads(line) for line in lines]
    latencies = tuple(1000 * (each["done"] - each["meant"]) for each in answers if each["status"] == 200)
    return Load(tuple(each["status"] for each in answers), latencies, max(each["done"] for each in answers))


def measured(measures: Mapping[str, Measure], rounds: int) -> dict[str, list[Load]]:
    """Each so many times, in turn: what else the machine does is shared out among all."""
    loads: dict[str, list[Load]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            loads[name].append(measure())
    return loads


def row(name: str, loads: Sequence[Load], *, shed: bool = False) -> list[str]:
    requests = sum(len(each.statuses) for each in loads)
    latencies = [latency for each in loads for latency in each.latencies]
    rate = statistics.median(each.rate for each in loads)
    refused = sum(each.statuses.count(503) for each in loads) if shed else 0
    cells = [name, f"{requests:,}", str(sum(each.failures(shed) for each in loads))]
    cells += [f"{refused / requests:.0%}"] if shed else []
    return [*cells, f"{rate:.1f}", *(f"{np.percentile(latencies, q):.0f}" for q in (50, 99))]


def closed_table(service: Service, folder: Path, seconds: float, rounds: int) -> str:
    counts = (1, 8, 32)
    runs = measured(
        {f"{n}": partial(load, service.url, folder, "closed", clients=n, seconds=seconds) for n in counts}, rounds
    )
    ratios = [many.rate / one.rate for one, many in zip(runs["1"], runs["32"], strict=True)]
    head = ["clients in a loop", "requests", "failures", "answers/s", "p50, ms", "p99, ms"]
    return (
        table(head, [row(name, loads) for name, loads in runs.items()])
        + f"\n\n32 clients have {statistics.median(ratios):.2f} × the answers of one (rounds: "
        + ", ".join(f"{ratio:.2f}" for ratio in ratios)
        + ")."
    )


def open_table(service: Service, folder: Path, seconds: float, rounds: int) -> str:
    """Requests at random moments. Capacity is what 32 clients in a loop get just before."""
    shares = (0.5, 1.0, 2.0)
    loads: dict[float, list[Load]] = {share: [] for share in shares}
    capacities = []
    for seed in range(rounds):
        capacities.append(load(service.url, folder, "closed", clients=32, seconds=seconds).rate)
        for share in shares:
            rate = share * capacities[-1]
            loads[share].append(load(service.url, folder, "open", rate=rate, seconds=seconds, seed=seed))
    tails = {share: np.percentile([ms for each in loads[share] for ms in each.latencies], 99) for share in shares}
    head = ["requests sent, of capacity", "requests", "failures", "503", "answers/s", "p50, ms", "p99, ms"]
    return (
        f"Sent at random moments, whether or not others were answered; capacity {statistics.median(capacities):.1f} "
        f"answers/s.\n\n{table(head, [row(f'{share:g} ×', loads[share], shed=True) for share in shares])}\n\n"
        f"At twice the capacity the p99 of what is answered is {tails[2.0] / tails[1.0]:.2f} × that at capacity."
    )


def overhead(service: Service, model: str, gallery: Path, folder: Path) -> str:
    """HTTP against the same stages called in this process, some photos the one way, then the same ones the other way.

    Not photo by photo: each process would find the processor's caches full of the other's network.
    """
    connection, found = Connection(service.url), find_model(model)
    http, direct = [], []
    with open_gallery(gallery) as opened:
        stages, by = OneByOne(opened, open_detector(threads=1), open_embedder(found)), chosen(0.0, opened, found.card)
        forms = itertools.islice(forms_of(folder).items(), PAIRS)
        while some := list(itertools.islice(forms, IN_TURN)):
            photos = [photo.read_bytes() for photo, _ in some]
            direct += [
                milliseconds(lambda data=data: identify(lambda: read_image(data), stages, by, 5)) for data in photos
            ]
            http += [milliseconds(lambda body=body: connection.ask(body)) for _, body in some]
    rest = statistics.median(one - other for one, other in zip(http, direct, strict=True))
    return (
        f"One client: {statistics.median(http):.1f} ms a photo over HTTP, {statistics.median(direct):.1f} ms by the "
        f"pipeline called in-process; the difference is {rest:.1f} ms (medians over {len(http)} photos, {IN_TURN} in "
        "turn each way)."
    )


def milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def peer_table(service: Service, folder: Path, subjects: int, scratch: Path, reference: Path | None) -> str:
    """One photo after another, in turn."""
    connection, others = Connection(service.url), peers(subjects, scratch, reference)
    ours, theirs = [], {name: [] for name in others}
    for photo, body in itertools.islice(forms_of(folder).items(), PEER_PHOTOS):
        data = photo.read_bytes()
        ours.append(milliseconds(lambda body=body: connection.ask(body)))
        for name, answer in others.items():
            theirs[name].append(milliseconds(lambda answer=answer, data=data: answer(data)))
    rows = [["this service, over HTTP", f"{statistics.median(ours):.1f}", "1"]]
    for name, times in theirs.items():
        ratio = statistics.median(their / our for their, our in zip(times, ours, strict=True))
        rows.append([name, f"{statistics.median(times):.1f}", f"{ratio:.1f}"])
    return "One photo after another:\n\n" + table(["who", "ms a photo (median)", "× this service's (median)"], rows)


def memory_table(service: Service, folder: Path, minutes: float) -> str:
    """Resident megabytes while eight clients ask."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(load, service.url, folder, "closed", clients=8, seconds=60 * minutes)
        seen = []
        while not asked.done():
            seen.append(resident(service.pid))
            time.sleep(EVERY)
        answers = asked.result()
    quarter = max(len(seen) // 4, 1)
    parts = [f"{statistics.median(seen[start : start + quarter]):.0f}" for start in range(0, len(seen), quarter)]
    return (
        f"Memory over {minutes:g} minutes of eight clients ({len(answers.statuses):,} requests, "
        f"{answers.failures(shed=False)} failures): {', '.join(parts)} MB resident (median of each quarter), "
        f"at most {max(seen):.0f}."
    )


def start_table(model: str, gallery: Path, folder: Path, options: Sequence[str], count: int, rounds: int) -> str:
    starts = []
    for _ in range(rounds):
        with serving(model, gallery, folder, options) as service:
            starts.append(service.first_answer)
    listed = ", ".join(f"{seconds:.1f}" for seconds in starts)
    return f"From `app serve` to its first answer with {count:,} Subjects: {listed} s, one start after the other."


if __name__ == "__main__":
    main()
