"""The HTTP application over an Engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio.to_thread
from fastapi import FastAPI

from app.admission import Admission
from app.engine import Engine
from app.envelope import handle_errors
from app.middleware import BodyLimit, Requests
from app.routes import health, identify, models
from app.routes.service import Service
from faces.image import ImageLimits

_FORM: Final = 64 * 1024  # bytes that the form around a photo may take
_SPARE: Final = 8  # threads beside those of requests that were let in: health and swaps

_VERSION: Final = "1.0"  # of the HTTP interface
_DESCRIPTION: Final = """\
A photo in, names out, over a gallery that outlives its model: teacher and student of one Space are exchanged while
requests are in flight. Errors of every kind have the shape of `ErrorAnswer`; `x-request-id` is echoed."""


def create_app(engine: Engine, *, admission: Admission, limits: ImageLimits, paths_allowed: bool = False) -> FastAPI:
    """The application; the Engine stays its caller's to close.

    admission: how many requests are let in, and for how long. limits: of an upload.
    paths_allowed: may a client name a MODEL by path (on loopback alone: the server opens it).
    """
    service = Service(engine, admission, paths_allowed)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = admission.room + _SPARE
        yield

    app = FastAPI(
        title="Heirloom",
        summary="A face gallery that outlives its model.",
        description=_DESCRIPTION,
        version=_VERSION,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.service = service
    handle_errors(app)
    app.add_middleware(BodyLimit, limit=limits.bytes + _FORM)
    app.add_middleware(Requests)  # added last, so outermost
    for routes in (health, identify, models):
        app.include_router(routes.router)
    return app
