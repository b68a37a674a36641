"""Is it alive, may it be asked?"""

from typing import Final

from fastapi import APIRouter

from app.envelope import problems
from app.errors import NotReady
from app.routes.service import ServiceDep
from app.schemas import StatusAnswer
from faces.errors import FacesError

_REMEDY: Final = "Look at the service's log, and run index check."
_RESTART: Final = "Look at the service's log, and start it anew."
_ELSEWHERE: Final = "Ask another one; this one answers what it has begun."

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> StatusAnswer:
    """The process answers. On the event loop itself, so never behind a photo."""
    return StatusAnswer()


@router.get(
    "/readyz",
    responses=problems(NotReady("the gallery does not answer", "gallery_unavailable", _REMEDY)),
)
def readyz(service: ServiceDep) -> StatusAnswer:
    """The gallery can be read, and photos find a worker. Model and warm-up come before the first request."""
    if service.stopping.is_set():
        raise NotReady("the service is stopping", "SIGTERM", _ELSEWHERE)
    try:
        service.engine.gallery.stats()
    except FacesError as error:
        raise NotReady("the gallery does not answer", error.code, _REMEDY) from error
    if (trouble := service.engine.stages.workers.trouble) is not None:
        raise NotReady("photos are not answered", trouble, _RESTART)
    return StatusAnswer()
