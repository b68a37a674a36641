"""What a service does by itself, now and then: forget those whose time has come, and measure thresholds anew."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Final

import anyio
import anyio.to_thread

from app.engine import Engine
from app.logs import log_event, log_failure
from faces.errors import FacesError
from index.subjects import due

ACTOR: Final = "service"
"""Whom the audit log names."""

_LOG: Final = logging.getLogger(__name__)


def keep_house(engine: Engine, now: datetime) -> int:
    """Once, for every collection with something to do; how many Subjects were forgotten.

    The others are not opened: each takes memory from then on. What fails in one is logged, and tried the next time.
    Raises what `Store.collections` raises.
    """
    store, forgotten = engine.gallery.store, 0
    decided = engine.thresholds.collections()
    there = {info.name for info in store.collections()}
    for gone in decided - there:  # another process deleted it
        engine.thresholds.forget(gone)
    for name in sorted(there & (decided | store.read(lambda connection: due(connection, now)))):
        with _tried(name):
            gallery = engine.collection(name)
            forgotten += len(gallery.forget_expired(now, actor=ACTOR))
            for model in engine.switch.models.all:  # the gate compares thresholds of one moment
                engine.thresholds.renew(gallery, model.card)
    if forgotten:
        log_event(_LOG, logging.INFO, "forgot Subjects whose time had come", subjects=forgotten)
    return forgotten


@asynccontextmanager
async def housekeeping(engine: Engine, every: float, now: Callable[[], datetime]) -> AsyncIterator[None]:
    """Keep house at once and then each so many seconds, on a thread, until the end; one that has begun is finished.

    A round that fails is logged, and the next one comes.
    """

    async def go_on() -> None:
        while True:
            with _tried():
                await anyio.to_thread.run_sync(keep_house, engine, now())
            await anyio.sleep(every)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(go_on)
        yield
        tasks.cancel_scope.cancel()


@contextmanager
def _tried(collection: str | None = None) -> Iterator[None]:
    """Whatever fails is logged: nobody waits for this work, and its end would go unnoticed until a restart."""
    try:
        yield
    except FacesError as error:
        log_event(_LOG, logging.WARNING, f"housekeeping failed: {error}", collection=collection, code=error.code)
    except Exception:  # noqa: BLE001
        log_failure(_LOG, "housekeeping failed", collection=collection)
