"""Who is in this photo?"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, File, Query, Request, UploadFile

from app.admission import Ticket
from app.envelope import problems
from app.errors import DeadlinePassed, Overloaded, RequestInvalid, RequestTooLarge, WorkerLost, WorkerStuck
from app.routes.guarded import Guarded, guarded_problems
from app.routes.service import RequestId, ServiceDep, Timeout
from app.schemas import IdentifyAnswer
from app.security import require
from faces.errors import ImageTooLarge, ImageTypeRefused, ImageUnreadable
from index.errors import GalleryUnavailable

router = APIRouter(tags=["identify"], route_class=Guarded, responses=guarded_problems())

Photo = Annotated[UploadFile, File(description="A photo: JPEG, PNG or WebP.")]
_TOP_K_0: Final = [{"where": "query.top_k", "problem": "Input should be greater than or equal to 1"}]

TopK = Annotated[int, Query(ge=1, le=100, description="Candidates for each face.")]


@router.post(
    "/identify",
    dependencies=[Depends(require("identify"))],
    responses=problems(
        RequestInvalid("the request is not valid", _TOP_K_0, "See /docs for the fields and their ranges."),
        ImageTooLarge("more than 50000000 pixels", "10000×9000", "Scale the picture down."),
        RequestTooLarge("bytes in the request", 31_457_280, "Send at most 21037056."),
        ImageTypeRefused("neither JPEG, PNG nor WebP, by its first bytes", "25504446", "Convert the picture."),
        ImageUnreadable("JPEG cannot be decoded (truncated)", "250×250", "Send the original again."),
        GalleryUnavailable("disk I/O error", "people.heirloom", "Check the disk."),
        Overloaded("too many requests are waiting", 34, "Try again after a moment (Retry-After)."),
        DeadlinePassed("the deadline passed while waiting for", "look", "Try again after a moment (Retry-After)."),
        WorkerLost("the worker of embed died", "SystemExit", "Try again."),
        WorkerStuck("no end of look within so many seconds", 60.0, "Try again."),
    ),
)
async def identify(
    image: Photo,
    service: ServiceDep,
    request: Request,
    request_id: RequestId,
    top_k: TopK = 5,
    timeout: Timeout = None,
) -> IdentifyAnswer:
    """Every face of the photo, its Candidates and the Decision. A photo without a face is answered with no faces."""

    def work(ticket: Ticket) -> IdentifyAnswer:
        """What waits holds no photo in memory: the form keeps a large one in a temporary file."""
        return IdentifyAnswer.answering(service.engine.identify(image.file.read, top_k, ticket), request_id)

    return await service.computed(request, work, timeout)
