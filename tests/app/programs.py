"""`app serve` as a user runs it: a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Server:
    process: subprocess.Popen[str]
    url: str
    announced: list[str]
    log: Path


@contextmanager
def serving(folder: Path, *arguments: object, program: tuple[str, ...] = ("app.cli",)) -> Iterator[Server]:
    """`app serve ARGUMENTS` on a free port, once it says that it is ready; killed at the end if it still runs.

    program: the module that is run instead of app.cli, and what it takes before `serve`.
    """
    log = folder / "server.log"
    with log.open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", *program, "serve", "--port", "0", "--threads", "1", *map(str, arguments)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    try:
        announced = []
        for line in process.stdout:
            announced.append(line)
            if line.startswith("Ready: "):
                break
        else:
            raise AssertionError(log.read_text())
        yield Server(process, line.removeprefix("Ready: ").strip(), announced, log)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
