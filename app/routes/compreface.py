"""The routes of CompreFace, over our engine: see `app.compreface`. A key for one collection is served from that one."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from itertools import islice
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app import compreface as said
from app.admission import Ticket
from app.enrolment import Sent, enrol_photos
from app.routes.compreface_photos import Answer, File, OptionsDep, Shown, Source, Target, shown_faces
from app.routes.guarded import Guarded, Photos
from app.routes.identify import record
from app.routes.service import COLLECTION, ByDep, Call, CallDep, CollectionDep
from app.security import Access, require
from app.view import Read, Rule
from faces.errors import FacesError
from index.answers import Schema
from index.errors import SubjectUnknown, TemplateUnknown
from index.gallery import LocalGallery
from index.identify import FoundFace, Identified
from index.threshold import Threshold, decide

_MOST: Final = 100  # predictions, as of our own routes
_PAGE: Final = 500
_LONGEST_ID: Final = 100  # of an image, in digits


class _Spoken(Guarded):
    """A route that answers errors in CompreFace's words, and finds the collection by the key."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                access: Access = request.app.state.access
                caller = request.state.caller = access.admit(request)
                if caller.key is not None and len(caller.key.collections) == 1:
                    request.path_params[COLLECTION] = caller.key.collections[0]
                return await handle(request)
            except (FacesError, RequestValidationError, HTTPException) as error:
                return said.spoken(error, request.state.request_id)

        return answered


router = APIRouter(prefix="/api/v1", route_class=_Spoken, include_in_schema=False)

_IDENTIFY: Final = Depends(require("identify"))
_ENROL: Final = Depends(require("enrol"))
_READ: Final = Depends(require("enrol", "admin"))
_SubjectName = Annotated[str, Path(min_length=1, max_length=500)]
_ImageId = Annotated[str, Path(max_length=_LONGEST_ID)]
_Count = Annotated[int, Query(ge=1, le=_MOST)]


@router.post("/recognition/recognize", dependencies=[_IDENTIFY])
async def recognize(
    file: File,
    call: CallDep,
    options: OptionsDep,
    prediction_count: _Count = 1,
) -> Answer:
    if "calculator" in options.face_plugins:
        require("admin").admit(call.request)  # as of POST /v1/embed

    def work(ticket: Ticket) -> Answer:
        view = call.view(ticket)
        threshold = view.threshold(Rule())
        shown = shown_faces(view, file, options)
        vectors = shown.embedded()
        near = view.stages.search(vectors, prediction_count).candidates
        _record(call, file, shown, near, threshold)
        return shown.answer(
            [
                shown.face(number, vector, subjects=said.subjects_of(found, threshold.value, prediction_count))
                for number, vector, found in zip(shown.numbers, vectors, near, strict=True)
            ]
        )

    return await call.computed(work, rule=Rule())


def _record(call: Call, read: Read, shown: Shown, near: Any, threshold: Threshold) -> None:
    looked, view = shown.looked, shown.view
    faces = tuple(
        FoundFace(looked.faces[number], looked.qualities[number], tuple(found), decide(found, threshold))
        for number, found in zip(shown.numbers, near, strict=True)
    )
    found = Identified(view.gallery.stats(), looked.width, looked.height, faces)
    answered = call.engine.answered(view, found, {})
    record(call, answered)
    call.shadowed(read, answered, Rule())


class _Embeddings(Schema):
    embeddings: Annotated[list[list[float]], Body(min_length=1, max_length=_MOST)]


@router.post("/recognition/embeddings/recognize", dependencies=[_IDENTIFY])
async def recognize_embeddings(
    asked: _Embeddings,
    call: CallDep,
    prediction_count: _Count = 1,
) -> Answer:
    def work(ticket: Ticket) -> Answer:
        view = call.view(ticket)
        threshold = view.threshold(Rule()).value
        try:
            rows = np.array(asked.embeddings, np.float32)
            with np.errstate(all="ignore"):  # what has no direction is refused below
                vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        except ValueError:
            raise said.refusal("embeddings", "not of one length") from None
        near = view.gallery.search(vectors, prediction_count, space=view.active.card.space)
        body = {"model_id": view.active.card.model_id, "faces": len(near)}
        call.note("identify_embeddings", body)
        return {
            "result": [
                {"embedding": row, "similarities": said.subjects_of(found, threshold, prediction_count)}
                for row, found in zip(asked.embeddings, near, strict=True)
            ]
        }

    return await call.computed(work, rule=Rule())


class _Subject(Schema):
    subject: Annotated[str, Body(min_length=1, max_length=500)]


@router.get("/recognition/subjects", dependencies=[_READ])
def list_subjects(collection: CollectionDep) -> Answer:
    return {"subjects": [subject_id for subject_id, _ in _everybody(collection)]}


@router.post("/recognition/subjects", status_code=201, dependencies=[_ENROL])
def add_subject(asked: _Subject, collection: CollectionDep, by: ByDep) -> Answer:
    return {"subject": collection.put_subject(asked.subject, actor=by).subject_id}


@router.put("/recognition/subjects/{subject}", dependencies=[_ENROL])
def rename_subject(subject: _SubjectName, asked: _Subject, collection: CollectionDep, by: ByDep) -> Answer:
    """Ids stay for good, so a Subject of the new id takes all over: a new one, or one that is there already."""
    if asked.subject == subject:
        collection.subject(subject)  # or there is none
    else:
        collection.merge(subject, asked.subject, create=True, actor=by)
    return {"updated": True}


@router.delete("/recognition/subjects/{subject}", dependencies=[_ENROL])
def delete_subject(subject: _SubjectName, collection: CollectionDep, by: ByDep) -> Answer:
    return {"subject": collection.forget(subject, actor=by).subject_id}


@router.delete("/recognition/subjects", dependencies=[_ENROL])
def delete_subjects(collection: CollectionDep, by: ByDep) -> Answer:
    everybody = [subject_id for subject_id, _ in _everybody(collection)]
    return {"deleted": len(collection.forget_all(everybody, actor=by)) if everybody else 0}


@router.post("/recognition/faces", status_code=201, dependencies=[_ENROL])
async def add_face(
    file: File,
    call: CallDep,
    subject: Annotated[str, Query(min_length=1, max_length=500)],
) -> Answer:
    def work(ticket: Ticket) -> Answer:
        view = call.view(ticket)
        (face,), _ = enrol_photos(view, subject, [Sent("file", file)], call.engine.guard, call.by, create=True)
        return {"image_id": str(face.template_id), "subject": subject}

    return await call.computed(work, writes=True)


@router.get("/recognition/faces", dependencies=[_READ])
def list_faces(
    collection: CollectionDep,
    subject: Annotated[str | None, Query(max_length=500)] = None,
    page: Annotated[int, Query(ge=0, le=2**31)] = 0,
    size: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> Answer:
    everybody = list(_everybody(collection)) if subject is None else [(subject, len(collection.templates(subject)))]
    total, first = sum(count for _, count in everybody), page * size
    faces = list(islice(_faces(collection, everybody, first), size))
    pages = -(-total // size)
    return {"faces": faces, "page_number": page, "page_size": size, "total_pages": pages, "total_elements": total}


@router.delete("/recognition/faces", dependencies=[_ENROL])
def delete_faces(
    collection: CollectionDep, by: ByDep, subject: Annotated[str | None, Query(max_length=500)] = None
) -> Answer:
    whose = [subject] if subject is not None else [subject_id for subject_id, _ in _everybody(collection)]
    pairs = [(each, template.template_id) for each in whose for template in collection.templates(each)]
    return {"deleted": len(collection.forget_templates(pairs, actor=by)) if pairs else 0}


@router.delete("/recognition/faces/{image_id}", dependencies=[_ENROL])
def delete_face(image_id: _ImageId, collection: CollectionDep, by: ByDep) -> Answer:
    number = _number(image_id)
    subject_id = collection.owner(number)
    collection.forget_template(subject_id, number, actor=by)
    return {"image_id": image_id, "subject": subject_id}


@router.post("/recognition/faces/delete", dependencies=[_ENROL])
def delete_some_faces(
    image_ids: Annotated[list[str], Body(max_length=1000)], collection: CollectionDep, by: ByDep
) -> list[Answer]:
    """Those that are there; others are passed over."""
    owners: dict[int, str] = {}  # by number: 1 and 01 are one
    for image_id in image_ids:
        with suppress(TemplateUnknown):
            number = _number(image_id)
            owners[number] = collection.owner(number)
    pairs = [(subject_id, number) for number, subject_id in owners.items()]
    if pairs:
        collection.forget_templates(pairs, actor=by)
    return [{"image_id": str(number), "subject": subject_id} for subject_id, number in pairs]


@router.get("/recognition/faces/{image_id}/img", dependencies=[_READ])
def download(image_id: _ImageId) -> Answer:
    raise TemplateUnknown("photos are not kept, so there is none to download of", image_id, "Keep your own.")


@router.post("/recognition/faces/{image_id}/verify", dependencies=[_IDENTIFY])
async def verify_face(
    image_id: _ImageId,
    file: File,
    call: CallDep,
    options: OptionsDep,
) -> Answer:
    number = _number(image_id)

    def work(ticket: Ticket) -> Answer:
        view = call.view(ticket)
        threshold = view.threshold(Rule()).value
        subject_id = view.gallery.owner(number)
        shown = shown_faces(view, file, options)
        scores = view.gallery.compare(shown.embedded(), number, space=view.active.card.space)
        body = {"model_id": view.active.card.model_id, "faces": len(scores)}
        call.note("verify", body, subject_id=subject_id)
        return shown.answer(
            [
                shown.face(face, subject=subject_id, similarity=said.similarity(one.score, threshold))
                for face, one in zip(shown.numbers, scores, strict=True)
            ]
        )

    return await call.computed(work, rule=Rule())


@router.post("/verification/verify", dependencies=[_IDENTIFY, Depends(Photos(2))])
async def verify(
    source_image: Source,
    target_image: Target,
    call: CallDep,
    options: OptionsDep,
) -> Answer:
    def work(ticket: Ticket) -> Answer:
        view = call.view(ticket)
        threshold = view.threshold(Rule()).value
        source = shown_faces(view, source_image, options, "source_image")
        target = shown_faces(view, target_image, options, "target_image")
        (vector, *_) = source.embedded()
        scores = target.embedded() @ vector
        matches = [
            target.face(number, similarity=said.similarity(float(score), threshold))
            for number, score in zip(target.numbers, scores, strict=True)
        ]
        matches.sort(key=lambda match: -match["similarity"])
        call.note("verify", {"model_id": view.active.card.model_id})
        return target.answer([{"source_image_face": source.face(source.numbers[0]), "face_matches": matches}])

    return await call.computed(work, rule=Rule())


@router.post("/detection/detect", dependencies=[_IDENTIFY])
async def detect(file: File, call: CallDep, options: OptionsDep) -> Answer:
    def work(ticket: Ticket) -> Answer:
        shown = shown_faces(call.view(ticket), file, options)
        return shown.answer([shown.face(number) for number in shown.numbers])

    return await call.computed(work)


def _number(image_id: str) -> int:
    """Raises TemplateUnknown for what no Template is called."""
    plausible = image_id.isascii() and image_id.isdecimal() and len(image_id) <= _LONGEST_ID
    if not plausible or int(image_id) >= 2**63:
        raise TemplateUnknown("no image with this id", image_id[:64], "List the faces.")
    return int(image_id)


def _everybody(collection: LocalGallery) -> Iterator[tuple[str, int]]:
    """(subject id, number of its Templates) of each, by their ids."""
    after: str | None = None
    while page := collection.subjects(_PAGE, after):
        yield from ((subject.subject_id, subject.templates) for subject in page)
        after = page[-1].subject_id


def _faces(collection: LocalGallery, everybody: list[tuple[str, int]], skip: int) -> Iterator[Answer]:
    """Every Template but so many, in order of the Subjects' ids."""
    for subject_id, count in everybody:
        if skip >= count:
            skip -= count
            continue
        try:
            own = collection.templates(subject_id)
        except SubjectUnknown:  # forgotten since
            continue
        yield from ({"image_id": str(template.template_id), "subject": subject_id} for template in own[skip:])
        skip = 0
