"""Processes that are disturbed: one is forked for each line of JSON that comes in, so importing is done once.

A line names a store, what to do in it in one or more lanes (a thread each), the environment, and when to die.
"""

import ctypes
import itertools
import json
import os
import resource
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faces.errors import FacesError
from index.gallery import LocalGallery, open_or_create_gallery
from tests.index.fakes import SPACE
from tests.index.faults.acts import Act, Told, perform

CALLS = "calls"  # the lane in which it is told how many reached the disk that fails
AHEAD = 30  # answers that one who is to be killed gets beyond the last that is waited for
Tell = Callable[[str, Told], None]


@dataclass(frozen=True, slots=True)
class Order:
    path: str
    lanes: Mapping[str, Sequence[Act]]
    environment: Mapping[str, str]
    kill_after: int | None
    """SIGKILL so many answers after the start, and at most AHEAD more; None: live to the end."""
    delay: float
    """Seconds between that answer and the kill: so that any moment is hit, nothing is waited for."""


class Desk:
    """A gallery that is opened when it is needed, and again after that failed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._gallery: LocalGallery | None = None

    def open(self) -> LocalGallery:
        if self._gallery is None:
            self._gallery = open_or_create_gallery(self._path, SPACE)
        return self._gallery

    def close(self) -> None:
        gallery, self._gallery = self._gallery, None
        if gallery is not None:
            gallery.close()

    def do(self, act: Act) -> Told:
        if act.kind == "limit":
            set_limit(*act.rows)
            return Told()
        if act.kind == "fault":
            set_fault(act.subject)
            return Told()
        try:
            if act.kind == "reopen":
                self.close()
                self.open()
                return Told()
            return Told(perform(self.open(), act))
        except FacesError as error:
            return Told(error=error.code)


def set_limit(size: int = resource.RLIM_INFINITY) -> None:
    """No file of this process may grow beyond so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def set_fault(how: str) -> None:
    """From now on the disk fails like this; empty: it is well again."""
    os.environ.update({"FAULTS_HOW": how, "FAULTS_AT": "1" if how else "0"})


def work(order: Order, tell: Tell) -> None:
    desk = Desk(Path(order.path))
    tell("", desk.do(Act("search", rows=(1,))))  # opens it before the threads start

    def follow(lane: str) -> None:
        for act in order.lanes[lane]:
            tell(lane, desk.do(act))

    threads = [threading.Thread(target=follow, args=[lane]) for lane in order.lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    desk.close()


def forked(order: Order, output: int, errors: int) -> int:
    """The id of a process that works, and writes each answer as a line to `output`."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.dup2(errors, 2)
        os.environ.update(order.environment)

        numbers = itertools.count()

        def tell(lane: str, told: Told) -> None:
            os.write(output, json.dumps([lane, asdict(told)]).encode() + b"\n")
            if order.kill_after is not None and next(numbers) >= order.kill_after + AHEAD:
                threading.Event().wait()  # for the kill, which a busy machine delays

        work(order, tell)
        tell(CALLS, Told(counted_calls()))
        status = 0
    except BaseException:  # noqa: BLE001 - shown by the parent
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(status)


def counted_calls() -> int:
    """By the disk that fails; see shim.c."""
    try:
        return int(ctypes.CDLL(None).faults_counted())
    except AttributeError:  # an ordinary disk
        return 0


def carry_out(order: Order) -> dict[str, Any]:
    """The answers, how the process ended (-9: by SIGKILL), and what it said on stderr."""
    output, writing = os.pipe()
    with tempfile.TemporaryFile() as errors, os.fdopen(output, "rb") as answers:
        process = forked(order, writing, errors.fileno())
        os.close(writing)
        lines = []
        if order.kill_after is not None:
            lines = [answers.readline() for _ in range(order.kill_after + 1)]
            select.select([], [], [], order.delay)
            os.kill(process, signal.SIGKILL)
        lines += answers.readlines()
        _, status = os.waitpid(process, 0)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    told = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return {"told": told, "status": os.waitstatus_to_exitcode(status), "said": said}


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        order["lanes"] = {lane: [Act(**act) for act in acts] for lane, acts in order["lanes"].items()}
        print(json.dumps(carry_out(Order(**order))), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
