"""The real programs, run as a user would: each command is shown before it runs."""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_START: Final = 120.0  # seconds that the service may take until it listens, and to finish when told to stop
_READY: Final = re.compile(r"^Ready: (http://\S+)\n", re.MULTILINE)


class ProgramFailed(Exception):
    """A program of this project ended as it should not."""


def run(program: str, *arguments: str) -> None:
    """One command of `index` or `app`, its output passed on. Raises ProgramFailed."""
    code = subprocess.call(_command(program, arguments))  # noqa: S603
    if code:
        raise ProgramFailed(f"{program} {arguments[0]} ended with exit code {code}.")


@contextmanager
def serve(gallery: Path, model: str, fpir: float, log: Path) -> Iterator[str]:
    """`app serve` on a free port, as a process of its own; yields its URL and stops it at the end.

    Raises ProgramFailed with the end of its log when it does not come up.
    """
    arguments = ("serve", "--gallery", str(gallery), "--model", model, "--fpir", str(fpir), "--port", "0")
    command = _command("app", arguments)
    with log.open("w") as output:  # a session of its own: Ctrl-C is for the demo, which then stops the service
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)  # noqa: S603
    try:
        yield _url(process, log)
    finally:
        process.terminate()
        process.wait(_START)


def _url(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and process.poll() is None:
        if ready := _READY.search(log.read_text()):
            return ready[1]
        time.sleep(0.05)
    raise ProgramFailed(f"The service did not start. Its log, {log}, ends:\n" + log.read_text()[-2000:])


def _command(program: str, arguments: tuple[str, ...]) -> list[str]:
    print(f"$ {shlex.join([program, *arguments])}", flush=True)
    return [sys.executable, "-m", f"{program}.cli", *arguments]
