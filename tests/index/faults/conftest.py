"""Processes to disturb, and the disk that fails."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.index.faults.acts import NOTHING, Act, Told
from tests.index.faults.child import CALLS

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    told: dict[str, list[Told]]
    """By lane: an answer for each act that was begun; NOTHING for the one under way. Under "": the opening."""
    status: int
    """-9: by SIGKILL."""
    said: str
    counted: int
    """The calls that reached the disk that fails; 0 when it was killed."""


Run = Callable[..., Ended]


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that stands before the disk."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler (cc) for the disk that fails")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    command = [compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, HERE / "shim.c"]
    subprocess.run(command, check=True)
    return library


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Do acts in a process of their own; see Order."""
    yield from served({})


@pytest.fixture(scope="module")
def run_on_bad_disk(shim: Path) -> Iterator[Run]:
    """The same, above the disk that fails as the environment tells it; see shim.c."""
    yield from served({"LD_PRELOAD": str(shim)})


def served(environment: Mapping[str, str]) -> Iterator[Run]:
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # a process of many must not fork
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.index.faults.child"],
        cwd=HERE.parents[2],
        env={**os.environ, **one_thread, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        yield lambda *args, **options: ask(server, *args, **options)
        assert server.stdin is not None
        server.stdin.close()


def ask(
    server: "subprocess.Popen[str]",
    path: Path,
    lanes: Mapping[str, Sequence[Act]],
    environment: Mapping[str, str] | None = None,
    kill_after: int | None = None,
    delay: float = 0.0,
) -> Ended:
    order: dict[str, Any] = {
        "path": str(path),
        "lanes": {lane: [asdict(act) for act in acts] for lane, acts in lanes.items()},
        "environment": environment or {},
        "kill_after": kill_after,
        "delay": delay,
    }
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    reply = json.loads(server.stdout.readline())
    told: dict[str, list[Told]] = {lane: [] for lane in ["", CALLS, *lanes]}
    for lane, answer in reply["told"]:
        told[lane].append(Told(**answer))
    for lane, acts in lanes.items():
        told[lane] += [NOTHING] * (len(told[lane]) < len(acts))
    assert "Traceback" not in reply["said"], reply["said"]
    return Ended(told, reply["status"], reply["said"], sum(answer.result for answer in told[CALLS]))
