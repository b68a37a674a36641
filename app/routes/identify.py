"""Who is in this photo?"""

from typing import Annotated

from fastapi import APIRouter, File, Query, UploadFile

from app.envelope import problems
from app.routes.service import RequestId, ServiceDep
from app.schemas import IdentifyAnswer

router = APIRouter(tags=["identify"])

Photo = Annotated[UploadFile, File(description="A photo: JPEG, PNG or WebP.")]
TopK = Annotated[int, Query(ge=1, le=100, description="Candidates for each face.")]


@router.post(
    "/identify",
    responses=problems(
        invalid_request=(400, "the request is not valid: [{'where': 'query.top_k', …}]. See /docs."),
        image_too_large=(413, "pixels in the photo: 2500000000. Send at most 50000000."),
        request_too_large=(413, "bytes in the request: 31457280. Send at most 21037056."),
        image_type_refused=(415, "neither JPEG, PNG nor WebP."),
        image_unreadable=(422, "damaged photo."),
        overloaded=(503, "too many requests are waiting: 32. Try again after a moment."),
    ),
)
def identify(image: Photo, service: ServiceDep, request_id: RequestId, top_k: TopK = 5) -> IdentifyAnswer:
    """Every face of the photo, its Candidates and the Decision. A photo without a face is answered with no faces."""
    data = image.file.read()
    with service.gate.enter():
        found = service.engine.identify(data, top_k)
    return IdentifyAnswer.of(found, request_id)
