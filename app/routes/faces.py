"""The faces of a Subject: enrol, list, delete; and those that are not its own."""

from collections.abc import Iterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, File, Path, Response, UploadFile

from app.admission import Ticket
from app.enrolment import Sent, enrol_photos
from app.envelope import problems
from app.errors import EnrolmentRefused, RepeatRefused, RepeatTooEarly
from app.idempotency import IdempotencyKey, Repeatable, Reply, fingerprint, response_of, scope_of
from app.routes.examples import BAD_SUBJECT, COMPUTING, LOOKING, NO_FACE, NO_SUBJECT, OTHER_SPACE, READING, WRITING
from app.routes.guarded import MOST_PHOTOS, Guarded, Photos, guarded_problems
from app.routes.parameters import Photo, SubjectPath, TemplatePath, bytes_of
from app.routes.service import ByDep, Call, CallDep, CollectionDep
from app.schemas_gallery import (
    DroppedAnswer,
    EnrolmentAnswer,
    FaceInfo,
    FacesAnswer,
    NegativeAnswer,
    NegativesAnswer,
    ReceiptAnswer,
)
from app.security import require
from index.errors import NegativeUnknown, TemplateUnknown
from index.repeats import Whom

router = APIRouter(tags=["faces"], route_class=Guarded, responses=guarded_problems())

_ENROL: Final = Depends(require("enrol"))
_READ: Final = Depends(require("enrol", "admin"))
_NO_NEGATIVE: Final = NegativeUnknown("no such negative example", 7, "List those of the Subject.")
_REJECTED: Final = [{"index": 0, "filename": "wall.jpg", "reasons": ["no_face"]}]
_AGAIN: Final = (
    RepeatTooEarly("the request with this Idempotency-Key is under way", "4f2c…", "Wait for the answer."),
    RepeatRefused("this Idempotency-Key came with another content before", "4f2c…", "Send another key."),
)
_Images = Annotated[
    list[UploadFile],
    File(min_length=1, max_length=MOST_PHOTOS, description="1 to 20 photos of the Subject: JPEG, PNG or WebP."),
]


@router.post(
    "/subjects/{subject_id}/faces",
    status_code=201,
    response_model=EnrolmentAnswer,
    dependencies=[_ENROL, Depends(Photos(MOST_PHOTOS))],
    responses=problems(
        *WRITING,
        NO_SUBJECT,
        OTHER_SPACE,
        BAD_SUBJECT,
        *COMPUTING,
        *_AGAIN,
        EnrolmentRefused("not one of the photos could be enrolled", _REJECTED, "See details.rejected."),
    ),
)
async def enrol_faces(
    subject_id: SubjectPath,
    images: _Images,
    call: CallDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Enrol the face that each photo is of. Those that cannot be are rejected with reasons; the others are durable."""
    photos = [Sent(image.filename or "", bytes_of(image)) for image in images]

    def work(ticket: Ticket) -> Reply:
        if idempotency_key is None:
            return _enrolled(call, ticket, subject_id, photos)
        scope = scope_of(call.by.actor, call.request.method, call.request.url.path)
        whom = Whom(call.collection.number, subject_id)
        again = Repeatable(scope, idempotency_key, fingerprint(_content(images)), whom)
        return call.engine.once.answer(again, lambda: _enrolled(call, ticket, subject_id, photos))

    return response_of(await call.computed(work, writes=True))


def _enrolled(call: Call, ticket: Ticket, subject_id: str, photos: list[Sent]) -> Reply:
    view = call.view(ticket)
    enrolled, rejected = enrol_photos(view, subject_id, photos, call.engine.guard, call.by)
    counts = {"model_id": view.active.card.model_id, "enrolled": len(enrolled), "rejected": len(rejected)}
    call.note("enrol_photos", counts, subject_id=subject_id)
    return Reply(201, EnrolmentAnswer.of(subject_id, enrolled, rejected).model_dump_json())


def _content(images: list[UploadFile]) -> Iterator[tuple[str, bytes]]:
    """Photos one at a time."""
    for image in images:
        yield image.filename or "", bytes_of(image)()


@router.get("/subjects/{subject_id}/faces", dependencies=[_READ], responses=problems(*READING, NO_SUBJECT))
def list_faces(subject_id: SubjectPath, collection: CollectionDep) -> FacesAnswer:
    """Which Templates a Subject has; not the photos, which are not kept."""
    return FacesAnswer(faces=[FaceInfo.of(template) for template in collection.templates(subject_id)])


@router.delete(
    "/subjects/{subject_id}/faces/{template_id}",
    dependencies=[_ENROL],
    responses=problems(
        *WRITING,
        NO_SUBJECT,
        TemplateUnknown("no such Template of this Subject", 7, "List the Templates of the Subject."),
    ),
)
def forget_face(
    subject_id: SubjectPath, template_id: TemplatePath, collection: CollectionDep, by: ByDep
) -> ReceiptAnswer:
    """Erase one face of a Subject for good; the Subject stays."""
    return ReceiptAnswer.of(collection.forget_template(subject_id, template_id, actor=by))


@router.post(
    "/subjects/{subject_id}/negatives",
    status_code=201,
    dependencies=[_ENROL],
    responses=problems(*WRITING, NO_SUBJECT, OTHER_SPACE, NO_FACE, *LOOKING),
)
async def add_negative(
    subject_id: SubjectPath,
    image: Photo,
    call: CallDep,
) -> NegativeAnswer:
    """This is *not* that Subject, though it was taken for it: from now on a face nearer to this photo is not."""

    def work(ticket: Ticket) -> NegativeAnswer:
        view, collection = call.view(ticket), call.collection
        collection.subject(subject_id)
        card, face = view.active.card, view.one_face(bytes_of(image), "image")
        number = collection.add_negative(
            subject_id, face.embedding, space=card.space, model_id=card.model_id, actor=call.by
        )
        return NegativeAnswer(negative_id=str(number))

    return await call.computed(work, writes=True)


@router.get("/subjects/{subject_id}/negatives", dependencies=[_READ], responses=problems(*READING, NO_SUBJECT))
def list_negatives(subject_id: SubjectPath, collection: CollectionDep) -> NegativesAnswer:
    """The negative examples of a Subject."""
    return NegativesAnswer(
        negatives=[NegativeAnswer(negative_id=str(number)) for number in collection.negatives(subject_id)]
    )


@router.delete(
    "/subjects/{subject_id}/negatives/{negative_id}",
    dependencies=[_ENROL],
    responses=problems(*WRITING, NO_SUBJECT, _NO_NEGATIVE),
)
def drop_negative(
    subject_id: SubjectPath,
    negative_id: Annotated[int, Path(ge=1, le=2**63 - 1, description="The id of a negative example.")],
    collection: CollectionDep,
    by: ByDep,
) -> DroppedAnswer:
    """It was that Subject after all."""
    if negative_id not in collection.negatives(subject_id):
        raise NegativeUnknown(_NO_NEGATIVE.what, negative_id, _NO_NEGATIVE.remedy)
    collection.drop_negative(negative_id, actor=by)
    return DroppedAnswer(negative_id=str(negative_id))
