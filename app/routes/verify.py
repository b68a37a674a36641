"""Is this the same person? One photo against another, or against a Subject."""

from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, HTTPException, UploadFile

from app.admission import Ticket
from app.envelope import problems
from app.routes.examples import DECIDING, LOOKING, NO_FACE, NO_SUBJECT, READING
from app.routes.guarded import Guarded, Photos, guarded_problems
from app.routes.parameters import Photo, RuleDep, bytes_of
from app.routes.service import CallDep
from app.schemas_photos import VerifiedFace, VerifyAnswer, verdict
from app.security import require
from app.view import Rule, View
from index.answers import ModelAnswer
from index.errors import SubjectUnknown

router = APIRouter(tags=["verify"], route_class=Guarded, responses=guarded_problems())


@router.post(
    "/verify",
    dependencies=[Depends(require("identify")), Depends(Photos(2))],
    responses=problems(*READING, *LOOKING, *DECIDING, NO_FACE, NO_SUBJECT),
)
async def verify(
    image: Photo,
    call: CallDep,
    rule: RuleDep,
    reference: Annotated[
        UploadFile | None, File(description="The photo to compare with; or give `subject_id`.")
    ] = None,
    subject_id: Annotated[
        str | None, Form(min_length=1, max_length=500, description="The Subject to compare with; or give `reference`.")
    ] = None,
) -> VerifyAnswer:
    """Compare the face that a photo is of with that of another photo, or with a Subject's nearest Template.

    The threshold is that of identification in this collection: among N Subjects it lets the given share of strangers
    by, against one Subject about an N-th of it.
    """
    if (reference is None) == (subject_id is None):
        raise HTTPException(400, "Give `reference` or `subject_id`: one of them.")

    def work(ticket: Ticket) -> VerifyAnswer:
        view = call.view(ticket)
        if subject_id is not None:
            answer = _against_subject(view, image, subject_id, rule, call.by.request_id)
        else:
            assert reference is not None  # noqa: S101 - one of the two
            answer = _against_photo(view, image, reference, rule, call.by.request_id)
        body = {"model_id": view.active.card.model_id, "match": int(answer.decision.match)}
        call.note("verify", body, subject_id=subject_id)
        return answer

    return await call.computed(work, rule=rule)


def _against_photo(view: View, image: UploadFile, reference: UploadFile, rule: Rule, request_id: str) -> VerifyAnswer:
    threshold = view.threshold(rule)
    face, other = view.one_face(bytes_of(image), "image"), view.one_face(bytes_of(reference), "reference")
    score = float(face.embedding @ other.embedding)
    return VerifyAnswer(
        request_id=request_id,
        model=ModelAnswer.of(view.active.card),
        face=VerifiedFace.of(face),
        other=VerifiedFace.of(other),
        subject_id=None,
        template_id=None,
        score=score,
        decision=verdict(score, threshold),
    )


def _against_subject(view: View, image: UploadFile, subject_id: str, rule: Rule, request_id: str) -> VerifyAnswer:
    threshold = view.threshold(rule)
    view.gallery.subject(subject_id)  # before a photo is looked at in vain
    face = view.one_face(bytes_of(image), "image")
    (best,) = view.gallery.best(face.embedding[None], subject_id, space=view.active.card.space)
    if best is None:
        raise SubjectUnknown("nothing is enrolled for Subject", subject_id, "Enrol a photo of it first.")
    return VerifyAnswer(
        request_id=request_id,
        model=ModelAnswer.of(view.active.card),
        face=VerifiedFace.of(face),
        other=None,
        subject_id=subject_id,
        template_id=str(best.template_id),
        score=best.score,
        decision=verdict(best.score, threshold, best.negative),
    )
