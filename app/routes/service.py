"""What every route needs, and how it gets it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.engine import Engine
from app.gate import Gate
from app.security import Caller


@dataclass(frozen=True, slots=True)
class Service:
    engine: Engine
    gate: Gate
    paths_allowed: bool


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _request_id(request: Request) -> str:
    request_id: str = request.state.request_id
    return request_id


def _actor(request: Request) -> str:
    """Who asks, as the record knows them."""
    caller: Caller = request.state.caller  # every route that changes something is guarded
    return caller.actor


ServiceDep = Annotated[Service, Depends(_service)]
RequestId = Annotated[str, Depends(_request_id)]
Actor = Annotated[str, Depends(_actor)]
