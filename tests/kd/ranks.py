"""Several gloo ranks for a test, in processes that stay: each of them takes seconds to import torch.

A module asks for the fixture with `pytest_plugins = ["tests.kd.ranks"]`.
"""

import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

MOST = 3
PATIENCE = 600  # seconds; a busy machine takes a minute to import torch three times


class Ranks:
    def __init__(self, folder: Path) -> None:
        self._folder, self._runs = folder, 0
        self._pool = ProcessPoolExecutor(MOST, mp_context=get_context("spawn"))

    def run(self, world: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What `function`, of a module's top level, returns on each rank."""
        self._runs += 1
        meeting = str(self._folder / f"meeting-{self._runs}")
        work = pickle.dumps((function, arguments))
        answers = [self._pool.submit(_as_rank, rank, world, meeting, work) for rank in range(world)]
        return [pickle.loads(answer.result(timeout=2 * PATIENCE)) for answer in answers]  # noqa: S301

    def close(self) -> None:
        self._pool.shutdown()


def _as_rank(rank: int, world: int, meeting: str, work: bytes) -> bytes:
    torch.set_num_threads(1)
    function, arguments = pickle.loads(work)  # noqa: S301
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # by itself gloo takes what the network says of this machine's name
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=world, timeout=timedelta(seconds=PATIENCE)
    )
    try:
        answer = pickle.dumps(function(*arguments))
        dist.barrier()  # or a rank that has nothing to say leaves before the others have met it
        return answer
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="session")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    several = Ranks(tmp_path_factory.mktemp("ranks"))
    yield several
    several.close()
