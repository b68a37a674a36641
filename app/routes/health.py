"""Is it alive, may it be asked?"""

from fastapi import APIRouter

from app.envelope import problems
from app.errors import NotReady
from app.routes.service import ServiceDep
from app.schemas import StatusAnswer
from faces.errors import FacesError

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> StatusAnswer:
    """The process answers. On the event loop itself, so never behind a photo."""
    return StatusAnswer()


@router.get(
    "/readyz",
    responses=problems(not_ready=(503, "the gallery does not answer: 'gallery_missing'. Look at the log.")),
)
def readyz(service: ServiceDep) -> StatusAnswer:
    """The gallery can be read. Model and warm-up come before the first request is accepted."""
    try:
        service.engine.gallery.stats()
    except FacesError as error:
        raise NotReady("the gallery does not answer", error.code, "Look at the log, and run index check.") from error
    return StatusAnswer()
