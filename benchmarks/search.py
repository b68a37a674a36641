"""What a search costs, in time and memory, beside what else there is; and what enrolling costs. Printed as Markdown.

    python -m benchmarks.search [--templates N] [--graph-templates N] [--small-templates N] [--photos FOLDER] [--write]

Peers are measured where they are installed: pip install usearch pymilvus milvus-lite. Graphs take long to build, and
what reads its gallery anew for each probe takes long to ask: they get fewer Templates, with this gallery beside them.
"""

import contextlib
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np

from benchmarks.head import resident
from benchmarks.page import processor, publish, table, write_option
from benchmarks.search_faces import People, Rows, nearest, of_each_subject, photographed, synthetic
from benchmarks.search_peers import EXACT, GRAPHS, READERS, Contender, Peer, opened
from faces.embed import Vectors
from faces.space import Space
from index.errors import ApproximationRefused
from index.gallery import Enrolment, LocalGallery, Template, open_gallery
from index.scan import Scanner
from index.store import create_store, open_store

K = 10
BATCH = 64
OURS = "this gallery"
STREAM = "(reading all int8 codes once)"
SLOW = 1000  # ms a batch
ENROLMENTS = 1000  # in one call
WRITES = 100  # a second
TRUTH_DEPTH = 20 * K  # Templates among which the K nearest Subjects' are, where each has PER_SUBJECT
MOST_WHOLE = 5000  # Templates that are all put in order: real people may have hundreds of photos
MODEL = "0" * 16
RECALL_PROBES = 500


@click.command(help=__doc__)
@click.option("--templates", default=1_000_000)
@click.option("--graph-templates", default=100_000)
@click.option("--small-templates", default=20_000)
@click.option("--dim", default=512)
@click.option("--threads", default=2)
@click.option("--rounds", default=30, help="Single probes; batches get a tenth.")
@click.option("--judged", default=1000, help="Probes whose answers are compared with brute force.")
@click.option("--seconds", default=15.0, help="Of searching while others write, and while nobody does.")
@click.option("--photos", type=click.Path(exists=True, file_okay=False, path_type=Path), help="PERSON/PHOTO.jpg")
@click.option("--model", default="dlib", help="For --photos.")
@write_option
@click.option("--fresh", type=Path, hidden=True)
def main(
    templates: int,
    graph_templates: int,
    small_templates: int,
    dim: int,
    threads: int,
    rounds: int,
    judged: int,
    seconds: float,
    photos: Path | None,
    model: str,
    write: bool,
    fresh: Path | None,
) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if fresh is not None:
        print(json.dumps(opened_afresh(fresh)))
        return
    plan = Plan(threads, rounds, seconds)
    sizes = ((templates, EXACT), (graph_templates, GRAPHS), (small_templates, READERS))
    with tempfile.TemporaryDirectory() as name:
        sections = [
            section("synthetic", synthetic(size, judged, dim, seed=size), peers, plan, Path(name) / str(number))
            for number, (size, peers) in enumerate(sizes)
        ]
        if photos is not None:
            people = photographed(photos, model)
            sections.append(section(f"photos, {model}", people, EXACT, plan, Path(name) / "photos"))
        else:
            sections.append("Embeddings of real photos were not asked for (`--photos`).")
    products = "float32 (numkong is not installed)" if find_spec("numkong") is None else "int8 (numkong)"
    note = (
        f"{processor()}, {threads} threads, top {K}; {rounds} single probes and {plan.batches} batches of {BATCH} in "
        f"turn, the second of two calls each, medians; products in {products}. *Equal*: the share of probes answered "
        f"with the {K} that brute force finds in float64; then with its first. This gallery answers with Subjects and "
        "is judged by them, the others by Templates."
    )
    publish("search", "\n\n".join([note, *sections]), write=write)


@dataclass(frozen=True, slots=True)
class Plan:
    threads: int
    rounds: int
    seconds: float

    @property
    def batches(self) -> int:
        return max(2, self.rounds // 10)


def section(what: str, people: People, peers: Sequence[Peer], plan: Plan, folder: Path) -> str:
    """Of one set of people: what enrolling and opening them costs, and every contender's searches."""
    folder.mkdir()
    path = folder / "people.heirloom"
    space = Space(teacher="ab" * 32, dim=people.stored.shape[1], crop="arcface-112")
    create_store(path, {"default": space}).close()
    with gallery_at(path, plan.threads) as gallery:
        rate = enrolled(gallery, people)
    afresh = subprocess.run(
        [sys.executable, "-m", "benchmarks.search", "--threads", str(plan.threads), "--fresh", str(path)],
        check=True,
        stdout=subprocess.PIPE,
    )
    start = json.loads(afresh.stdout)
    with gallery_at(path, plan.threads) as gallery:
        rows = compared(people, peers, gallery, plan)
        single, idle, busy = under_writes(gallery, people, plan.seconds)
        missed = approximately(gallery)
    count = len(people.stored)
    head = ["", "p50, ms", f"probes/s in batches of {BATCH}", "equal", "rank 1 equal", "times our p50"]
    told = (
        f"Enrolled at {rate:,.0f} Templates/s, {ENROLMENTS} a commit; one alone takes {single:.1f} ms (p50). Opened, "
        f"and the first probe answered, in {start['seconds']:.2f} s; {start['bytes'] / count:,.0f} bytes of memory a "
        f"Template. p99 of a search: {idle:.1f} ms, and {busy:.1f} ms while {WRITES} Templates a second are enrolled."
        f"{missed}"
    )
    return f"### {count:,} × {space.dim}, {what}\n\n{table(head, rows)}\n\n{told}"


@contextmanager
def gallery_at(path: Path, threads: int) -> Iterator[LocalGallery]:
    with open_store(path, engine=Scanner(threads)).gallery("default", closes_store=True) as gallery:
        yield gallery


def enrolled(gallery: LocalGallery, people: People) -> float:
    """Put them in; Templates a second. Row n becomes Template n + 1."""
    start = time.perf_counter()
    for first in range(0, len(people.stored), ENROLMENTS):
        block = slice(first, first + ENROLMENTS)
        pairs = zip(people.owners[block].tolist(), people.stored[block], strict=True)
        ids = gallery.enrol_all(
            [Enrolment(str(owner), [Template(row, MODEL)]) for owner, row in pairs], space=gallery.space
        )
        assert ids[0] == [first + 1]
    return len(people.stored) / (time.perf_counter() - start)


def opened_afresh(path: Path) -> dict[str, float]:
    """Seconds from opening a gallery to its first answer, and by how many bytes the process has grown."""
    ctypes.CDLL(None).malloc_trim(0)
    before, start = resident("VmRSS"), time.perf_counter()
    with open_gallery(path) as gallery:
        probe = np.zeros((1, gallery.space.dim), dtype=np.float32)
        probe[0, 0] = 1
        gallery.search(probe, K, space=gallery.space)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "bytes": resident("VmRSS") - before}


def compared(people: People, peers: Sequence[Peer], gallery: LocalGallery, plan: Plan) -> list[list[str]]:
    def search(probes: Vectors, k: int) -> Rows:
        found = gallery.search(probes, k, space=gallery.space)
        return np.array([[one.template_id - 1 for one in candidates] for candidates in found])

    near = nearest(people, TRUTH_DEPTH if len(people.stored) > MOST_WHOLE else len(people.stored))
    with (
        opened(tuple(peers), people.unit, plan.threads) as (others, missing),
        streaming(people, plan.threads) as stream,
    ):
        contenders = [Contender(OURS, search, by_subject=True), *others, Contender(STREAM, stream, batches=False)]
        singles, batches = timed(contenders, people.probes, plan)
        ours = singles[OURS]
        rows = [
            [
                of.name,
                f"{singles[of.name]:.2f}",
                f"{1000 * BATCH / batches[of.name]:,.0f}" if of.name in batches else "–",
                *(("–", "–") if of.name == STREAM else agreement(of, people, near, batches)),
                f"{singles[of.name] / ours:.2f}",
            ]
            for of in contenders
        ]
    return rows + [[name, "not installed", *["–"] * 4] for name in missing]


@contextmanager
def streaming(people: People, threads: int) -> Iterator[Callable[[Vectors, int], Rows]]:
    """Sums as many bytes as there are int8 codes, on all threads: no scan that reads them can be faster."""
    codes = np.ones(people.stored.size // 8, dtype=np.int64)
    pieces = np.array_split(codes, 16 * threads)
    with ThreadPoolExecutor(threads) as pool:

        def read(_: Vectors, __: int) -> Rows:
            return np.array(list(pool.map(np.sum, pieces)))

        yield read


def timed(contenders: Sequence[Contender], probes: Vectors, plan: Plan) -> list[dict[str, float]]:
    """Median milliseconds of a single probe, and of a batch, by name; contenders in turn."""
    singles: dict[str, list[float]] = {of.name: [] for of in contenders}
    batches: dict[str, list[float]] = {of.name: [] for of in contenders if of.batches}
    for number in range(-1, plan.rounds):  # the first is not counted
        for of in contenders:
            took = milliseconds(of, probes[number % len(probes)][None])
            singles[of.name] += [took] if number >= 0 else []
    for number in range(plan.batches):
        for of in contenders:
            if of.batches:
                batch = np.take(probes, np.arange(number * BATCH, (number + 1) * BATCH), axis=0, mode="wrap")
                batches[of.name].append(milliseconds(of, batch))
    return [{name: statistics.median(found) for name, found in times.items()} for times in (singles, batches)]


def milliseconds(of: Contender, probes: Vectors) -> float:
    """Of the second of two calls: threads that the contender before left spinning are asleep by then."""
    of.search(probes, K)
    start = time.perf_counter()
    of.search(probes, K)
    return 1000 * (time.perf_counter() - start)


def agreement(of: Contender, people: People, near: Rows, batches: dict[str, float]) -> tuple[str, str]:
    """The shares of probes with an equal top K, and with an equal first; of fewer probes where a search takes long."""
    if of.name not in batches:
        count = min(K, len(near))
    elif batches[of.name] > SLOW and not of.by_subject:
        count = min(BATCH, len(near))
    else:
        count = len(near)
    found = [of.search(people.probes[start : start + BATCH][: count - start], K) for start in range(0, count, BATCH)]
    answers = [row.tolist() for rows in found for row in rows]
    truth = of_each_subject(people, near[:count], K) if of.by_subject else near[:count, :K].tolist()
    tops = [sorted(answer) == sorted(true) for answer, true in zip(answers, truth, strict=True)]
    firsts = [answer[0] == true[0] for answer, true in zip(answers, truth, strict=True)]
    return f"{statistics.mean(tops):.4f} of {count}", f"{statistics.mean(firsts):.4f}"


def under_writes(gallery: LocalGallery, people: People, seconds: float) -> tuple[float, float, float]:
    """ms: p50 of one durable enrolment, p99 of a search while nobody writes, and while somebody does."""
    taken = [one_enrolment(gallery, people, number) for number in range(100)]
    idle = p99_of_searches(gallery, people, seconds)
    done = threading.Event()

    def write() -> None:
        begun = time.perf_counter()
        for number in range(10**9):
            if done.wait(max(0.0, begun + number / WRITES - time.perf_counter())):
                return
            one_enrolment(gallery, people, number)

    writer = threading.Thread(target=write)
    writer.start()
    with contextlib.ExitStack() as stack:
        stack.callback(writer.join)
        stack.callback(done.set)
        busy = p99_of_searches(gallery, people, seconds)
    return statistics.median(taken), idle, busy


def approximately(gallery: LocalGallery) -> str:
    """What `index approximate` would print, as a sentence; empty where there are too few Templates for it."""
    try:
        found = gallery.recall(RECALL_PROBES, seed=0)
    except ApproximationRefused:
        return ""
    return (
        f" Searched approximately, {found.first:.4f} of the nearest Subjects are found, {found.ten:.4f} of the "
        f"{K} nearest, in {found.ms:.2f} ms where the exact search takes {found.exact_ms:.2f} (p50 of {found.probes})."
    )


def one_enrolment(gallery: LocalGallery, people: People, number: int) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    row = people.stored[number % len(people.stored)]
    gallery.enrol(f"late {number}", [Template(row, MODEL)], space=gallery.space)
    return 1000 * (time.perf_counter() - start)


def p99_of_searches(gallery: LocalGallery, people: People, seconds: float) -> float:
    """Milliseconds; single probes, one after the other."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        gallery.search(people.probes[len(times) % len(people.probes)][None], K, space=gallery.space)
        times.append(1000 * (time.perf_counter() - start))
    return float(np.percentile(times, 99))


if __name__ == "__main__":
    main()
