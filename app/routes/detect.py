"""The faces of a photo, and their embeddings, without asking who they are."""

from fastapi import APIRouter, Depends

from app.admission import Ticket
from app.envelope import problems
from app.routes.examples import INVALID, LOOKING
from app.routes.guarded import Guarded, guarded_problems
from app.routes.parameters import Photo, bytes_of
from app.routes.service import CallDep
from app.schemas_photos import DetectAnswer, DetectedFace, EmbedAnswer, EmbeddedFace
from app.security import require
from index.answers import ImageAnswer, ModelAnswer

router = APIRouter(prefix="/v1", tags=["detect"], route_class=Guarded, responses=guarded_problems())


@router.post("/detect", dependencies=[Depends(require("identify"))], responses=problems(INVALID, *LOOKING))
async def detect(image: Photo, call: CallDep) -> DetectAnswer:
    """Where the faces are, and how good their pictures."""

    def work(ticket: Ticket) -> DetectAnswer:
        looked = call.view(ticket).look(bytes_of(image))
        size = ImageAnswer(width=looked.width, height=looked.height)
        return DetectAnswer(request_id=call.by.request_id, image=size, faces=DetectedFace.all_of(looked))

    return await call.computed(work)


@router.post("/embed", dependencies=[Depends(require("admin"))], responses=problems(INVALID, *LOOKING))
async def embed(image: Photo, call: CallDep) -> EmbedAnswer:
    """The embedding of every face. It is what a gallery keeps of a person, so it takes a key with the scope `admin`."""

    def work(ticket: Ticket) -> EmbedAnswer:
        view = call.view(ticket)
        looked = view.look(bytes_of(image))
        vectors = view.stages.embed(looked.crops)
        body = {"model_id": view.active.card.model_id, "faces": len(vectors)}
        call.note("embed", body)
        return EmbedAnswer(
            request_id=call.by.request_id,
            model=ModelAnswer.of(view.active.card),
            image=ImageAnswer(width=looked.width, height=looked.height),
            faces=[
                EmbeddedFace(embedding=vector.tolist(), **dict(face))
                for face, vector in zip(DetectedFace.all_of(looked), vectors, strict=True)
            ],
        )

    return await call.computed(work)
