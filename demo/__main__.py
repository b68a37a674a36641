"""`make demo`: enrol two people with the teacher, swap to its student under load, erase one of them, print a table."""

import os
import shutil
import signal
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import click
from rich.console import Console

from demo.answers import Answers, ask
from demo.photos import PORTRAITS, Question, write_people, write_questions
from demo.programs import ProgramFailed, run, serve
from demo.report import Row, shortfalls, table
from demo.timing import dlib_library_ms, embedding_ms
from demo.traffic import CLIENTS, Traffic, traffic
from faces.errors import FacesError
from faces.models import find_model

TEACHER: Final = "dlib"
FPIR: Final = 0.1
"""The thresholds on the cards stand for 370 enrolled people; among two, strangers are named far more seldom than this.
At the default, 0.01, a small student would answer more of the altered photos with "unknown"."""
FOLDER: Final = Path("demo-gallery")
"""Where photos, gallery and log go; every run makes it anew."""


@click.command()
@click.option("--student", default="small-dlib", show_default=True, help="The student to swap to: any MODEL.")
def main(student: str) -> None:
    """Show the main job on two portraits. Exit code 1 when anything is not as it should be."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)  # so that the service does not outlive the demo
    ask_past_proxies(os.environ)
    try:
        missed = demonstrate(student, FOLDER)
    except (FacesError, ProgramFailed) as error:
        missed = [str(error)]
    for sentence in missed:
        print(f"make demo: {sentence}", file=sys.stderr)
    sys.exit(1 if missed else 0)


def demonstrate(student: str, folder: Path) -> list[str]:
    """The whole story. Returns the expectations that were not met."""
    models = {name: find_model(name) for name in (TEACHER, student)}
    shutil.rmtree(folder, ignore_errors=True)
    write_people(folder / "people")
    questions = write_questions(folder / "altered")
    gallery, erased = folder / "gallery.heirloom", PORTRAITS[-1].subject
    theirs = [question for question in questions if question.subject == erased]

    tell(f"Enrol {' and '.join(portrait.subject for portrait in PORTRAITS)}, with the teacher.")
    run("index", "build", str(folder / "people"), "--gallery", str(gallery), "--teacher", TEACHER)
    tell(f"Serve the gallery on the teacher, with thresholds for FPIR {FPIR}, and ask about altered photos.")
    with serve(gallery, TEACHER, FPIR, folder / "service.log") as url:
        by_teacher = asked(url, questions)
        tell(f"Swap to the student while {CLIENTS} clients keep asking. No photo is read again, no Template touched.")
        swapped = swap_under_load(url, student, [question.photo for question in questions])
        by_student = asked(url, questions)
        tell(f"Erase {erased} for good, and ask both models about the photos of a person who is not enrolled.")
        run("index", "forget", erased, "--gallery", str(gallery), "--yes")
        erased_by_student = asked(url, theirs)
        run("app", "swap", "--back", "--url", url)
        erased_by_teacher = asked(url, theirs)

        tell("Measure both on one thread.")
        rows = [
            Row(models[TEACHER], embedding_ms(models[TEACHER]), by_teacher, erased_by_teacher),
            Row(models[student], embedding_ms(models[student]), by_student, erased_by_student),
        ]
        library_ms = dlib_library_ms(models[TEACHER].card.crop)
        Console().print(table(rows, library_ms, swapped))
        missed = shortfalls(rows, swapped)
        if not missed:
            print("The teacher's gallery was searched by its student, without a failed request.")
            if sys.stdin.isatty() and sys.stdout.isatty():  # CI may give its output the looks of a terminal
                stay(url, questions[0].photo)
    return missed


def ask_past_proxies(environment: MutableMapping[str, str]) -> None:
    """The service is on this machine, where a proxy that PyPI is reached by does not look for it."""
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join([*filter(None, [environment.get(name)]), "127.0.0.1"])


def asked(url: str, questions: Sequence[Question]) -> Answers:
    """Ask, and print the verdicts: a line a person."""
    answers = ask(url, questions)
    lines: dict[str, list[str]] = {}
    for question, verdict in zip(questions, answers.verdicts, strict=True):
        lines.setdefault(question.subject, []).append(f"{question.altered} {verdict}")
    for subject, verdicts in lines.items():
        print(f"{answers.model}: {subject}: {', '.join(verdicts)}")
    return answers


def swap_under_load(url: str, student: str, photos: Sequence[Path]) -> Traffic:
    """What the clients saw from before the swap until after it."""
    with traffic(url, photos) as seen:
        seen.wait_for(find_model(TEACHER).card.name)
        run("app", "swap", student, "--url", url)
        seen.wait_for(find_model(student).card.name)
    shares = ", ".join(f"{count} answered by {name}" for name, count in seen.answered.items())
    print(f"{seen.requests} requests: {shares}, {len(seen.failures)} failed.")
    return seen


def stay(url: str, photo: Path) -> None:
    """Keep the service until Ctrl-C."""
    print(f"\nThe service listens on {url}; its API is described at {url}/docs. Try it, and end it with Ctrl-C:")
    print(f"  curl -F image=@{photo} {url}/identify", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("\nStopped.")


def _stop(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def tell(sentence: str) -> None:
    print(f"\n{sentence}", flush=True)


if __name__ == "__main__":
    main()
