"""What every route needs, and how it gets it."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeVar

import anyio.to_thread
from fastapi import Depends, Header, Path, Request

from app.admission import Admission, Ticket, gone
from app.engine import Answered, Engine
from app.metrics import Meters
from app.security import Caller
from app.shadow import Live
from app.view import Read, Rule, View
from index.gallery import By, LocalGallery

Result = TypeVar("Result")

COLLECTION: Final = "collection"
"""What stands for it in an address."""

_Timeout = Annotated[
    float | None,
    Header(
        alias="x-timeout", gt=0, description="Seconds after which it is of no use to begin; what was begun is answered."
    ),
]


@dataclass(frozen=True, slots=True)
class Service:
    engine: Engine
    admission: Admission
    paths_allowed: bool
    meters: Meters
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set as soon as the service was told to stop: it is not ready any more."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request for something that has to be computed."""

    service: Service
    collection: LocalGallery
    by: By
    request: Request
    timeout: float | None

    @property
    def engine(self) -> Engine:
        return self.service.engine

    def view(self, ticket: Ticket) -> View:
        """What the work of this request works with."""
        return self.engine.view(self.collection, ticket)

    def _knows(self, rule: Rule) -> bool:
        card = self.engine.switch.models.active.card
        return self.engine.thresholds.known(self.collection, card, fpir=rule.fpir, value=rule.value)

    def note(self, action: str, body: Mapping[str, Any], *, subject_id: str | None = None) -> None:
        """A row of the audit log; see `Trail.note`."""
        self.engine.trail.note(self.by, action, self.collection.collection, body, subject_id=subject_id)

    def shadowed(self, read: Read, answered: Answered, rule: Rule) -> None:
        """Let the shadow see what was answered, if this request is among its share. read: the photo."""
        shadow = self.engine.changeover.shadow
        if shadow.wants(self.by.request_id):
            live = Live(answered.active, self.collection, rule, answered.found)
            shadow.offer(self.by.request_id, read(), live)

    async def computed(
        self, work: Callable[[Ticket], Result], *, rule: Rule | None = None, writes: bool = False
    ) -> Result:
        """What `work` returns on another thread, if there is room for it; off the event loop.

        rule: what it decides by. writes: it changes the gallery. Work that waits, for the disk or for a threshold that
        has to be measured first, keeps no worker from others' photos: it has a thread of its own.
        A client that goes away cancels the Ticket, and what was not begun for it is never computed.
        Raises Overloaded, and what `work` raises.
        """
        with self.service.admission.enter(self.timeout) as ticket:
            watching = asyncio.create_task(_cancel_when_gone(self.request, ticket))
            try:
                waits = writes or (rule is not None and not self._knows(rule))
                begun = None if waits else ticket.begin(self.engine.stages.workers, work)
                if begun is None:
                    return await anyio.to_thread.run_sync(work, ticket)
                return await _result_of(begun)
            finally:
                watching.cancel()


async def _result_of(begun: "Future[Result]") -> Result:
    try:
        return await asyncio.wrap_future(begun)
    except asyncio.CancelledError:
        if begun.cancelled():  # before it began, for its client left
            raise gone("a request") from None
        raise


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


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller  # of a route that is guarded
    return caller


async def _actor(request: Request) -> str:
    """Who asks, as the record knows them."""
    return (await _caller(request)).actor


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


async def _call(request: Request, timeout: _Timeout = None) -> Call:
    return Call(await _service(request), await _collection(request), await _by(request), request, timeout)


ServiceDep = Annotated[Service, Depends(_service)]
RequestId = Annotated[str, Depends(_request_id)]
CallerDep = Annotated[Caller, Depends(_caller)]
Actor = Annotated[str, Depends(_actor)]
ByDep = Annotated[By, Depends(_by)]
CollectionDep = Annotated[LocalGallery, Depends(_collection)]
CallDep = Annotated[Call, Depends(_call)]
