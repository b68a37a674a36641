"""What every route needs, and how it gets it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

import anyio.to_thread
from fastapi import Depends, Header, Request

from app.admission import Admission, Ticket
from app.engine import Engine

Result = TypeVar("Result")

Timeout = Annotated[
    float | None,
    Header(alias="x-timeout", gt=0, description="Seconds after which you have no use for an answer."),
]


@dataclass(frozen=True, slots=True)
class Service:
    engine: Engine
    admission: Admission
    paths_allowed: bool

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


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _request_id(request: Request) -> str:
    request_id: str = request.state.request_id
    return request_id


ServiceDep = Annotated[Service, Depends(_service)]
RequestId = Annotated[str, Depends(_request_id)]
