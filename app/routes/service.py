"""What every route needs, and how it gets it."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeVar

import anyio.to_thread
from fastapi import Depends, Header, Path, Request

from app.admission import Admission, Ticket
from app.engine import Engine
from app.metrics import Meters
from app.security import Caller
from index.gallery import By, LocalGallery

Result = TypeVar("Result")

COLLECTION: Final = "collection"
"""What stands for it in an address."""

Timeout = Annotated[
    float | None,
    Header(alias="x-timeout", gt=0, description="Seconds after which you have no use for an answer."),
]


@dataclass(frozen=True, slots=True)
class Service:
    engine: Engine
    admission: Admission
    paths_allowed: bool
    meters: Meters
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set as soon as the service was told to stop: it is not ready any more."""

    async def computed(self, request: Request, work: Callable[[Ticket], Result], timeout: float | None) -> Result:
        """What `work` returns on a thread of its own, if there is room for it; off the event loop.

        A client that goes away cancels the Ticket, and what was not begun for it is never computed.
        Raises Overloaded, and what `work` raises.
        """
        with self.admission.enter(timeout) as ticket:
            watching = asyncio.create_task(_cancel_when_gone(request, ticket))
            try:
                return await anyio.to_thread.run_sync(work, ticket)
            finally:
                watching.cancel()


async def _cancel_when_gone(request: Request, ticket: Ticket) -> None:
    """The body has been read, so what the server has to say next is that the client left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    ticket.cancel()


# FastAPI runs plain functions on a thread each: a tenth of a millisecond for a line that only looks something up.


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _request_id(request: Request) -> str:
    request_id: str = request.state.request_id
    return request_id


async def _actor(request: Request) -> str:
    """Who asks, as the record knows them."""
    caller: Caller = request.state.caller  # every route that changes something is guarded
    return caller.actor


async def _by(request: Request) -> By:
    return By(await _actor(request), await _request_id(request))


async def _collection(request: Request) -> LocalGallery:
    """The collection that the address names, or the default one. Raises CollectionUnknown."""
    engine = (await _service(request)).engine
    name = request.path_params.get(COLLECTION, engine.gallery.collection)
    if name == engine.gallery.collection:
        return engine.gallery
    return await anyio.to_thread.run_sync(engine.collection, name)  # it may have to be loaded


async def named_collection(
    _: Annotated[str, Path(alias=COLLECTION, description="A collection's name: GET /v1/collections lists them.")],
) -> None:
    """For routers under /v1/collections/{collection}: tells the document of it. Who needs it takes CollectionDep."""


ServiceDep = Annotated[Service, Depends(_service)]
RequestId = Annotated[str, Depends(_request_id)]
Actor = Annotated[str, Depends(_actor)]
ByDep = Annotated[By, Depends(_by)]
CollectionDep = Annotated[LocalGallery, Depends(_collection)]
