"""The HTTP application over an Engine."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import anyio.to_thread
from fastapi import Depends, FastAPI
from starlette.responses import RedirectResponse
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.admission import Admission
from app.browsers import DOCS, Hosts, Origins, SecurityHeaders
from app.document import NAMED, PREFIX, operation_id
from app.engine import Engine
from app.envelope import codes, correct_document, handle_errors
from app.housekeeping import housekeeping
from app.metrics import Measured, Meters
from app.middleware import BodyLimit, Requests
from app.routes import (
    audit,
    collections,
    compreface,
    detect,
    faces,
    health,
    identify,
    metrics,
    models,
    subjects,
    verify,
)
from app.routes.service import Service, named_collection
from app.security import anybody
from app.states import EngineState
from app.trust import Trust
from faces.image import ImageLimits
from index.gallery import utc_now

_SPARE: Final = 12  # threads beside those of requests that were let in
_CHANGES: Final = 4  # of these, for what changes something without a photo
_SLOW: Final = 4  # and for what loads or measures a model; the rest is for health and for lists
_VERSION: Final = "1.0"  # of the HTTP interface
_DESCRIPTION: Final = """\
A photo in, names out, over a gallery that outlives its model: teacher and student of one Space are exchanged while
requests are in flight. Errors of every kind have the shape of `ErrorAnswer`; `x-request-id` is echoed."""


def create_app(
    engine: Engine,
    *,
    admission: Admission,
    limits: ImageLimits,
    trust: Trust | None = None,
    paths_allowed: bool = False,
    expiry_every: float | None = None,
    meters: Meters | None = None,
) -> FastAPI:
    """The application; the Engine stays its caller's to close.

    admission: how many requests are let in, and for how long. limits: of an upload. trust: None: of whoever asks, as on
    loopback.
    paths_allowed: may a client name a MODEL by path (on loopback alone: the server opens it).
    expiry_every: seconds between two rounds of housekeeping; None: there are none.
    meters: those that the Engine counts on too.
    """
    trust = trust or Trust(anybody(), exposed=False)
    meters = meters or Meters()
    meters.look_at(EngineState(engine))
    meters.expect(codes())
    service = Service(engine, admission, paths_allowed, meters)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = admission.room + _SPARE
        async with AsyncExitStack() as stack:
            if expiry_every is not None:
                await stack.enter_async_context(housekeeping(engine, expiry_every, utc_now))
            yield

    app = FastAPI(
        title="Heirloom",
        summary="A face gallery that outlives its model.",
        description=_DESCRIPTION,
        version=_VERSION,
        docs_url=None if trust.exposed else DOCS,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=operation_id,
    )
    app.state.service, app.state.access = service, trust.access
    app.state.changing, app.state.changing_models = asyncio.Semaphore(_CHANGES), asyncio.Semaphore(_SLOW)
    handle_errors(app)
    correct_document(app)
    app.add_middleware(BodyLimit, photo=limits.bytes, seconds=trust.upload_seconds)
    app.add_middleware(Origins, origins=trust.origins)
    app.add_middleware(Hosts, names=trust.hosts)
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(trust.proxies))
    app.add_middleware(Requests)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Measured, meters=meters, clock=time.perf_counter)  # added last, so outermost
    for routes in (health, identify, collections, metrics, models, detect, audit):
        app.include_router(routes.router)
    for of_a_collection in (identify, verify, subjects, faces):
        app.include_router(of_a_collection.router, prefix=PREFIX)
        app.include_router(of_a_collection.router, prefix=NAMED, dependencies=[Depends(named_collection)])
    app.include_router(compreface.router)
    if trust.exposed:
        app.add_api_route(DOCS, _document, include_in_schema=False)
    return app


async def _document() -> RedirectResponse:
    """Where errors point to /docs, and there is no page that runs other people's scripts, the document itself."""
    return RedirectResponse("/openapi.json")
