"""Who is in this photo?"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query

from app.admission import Ticket
from app.engine import Answered
from app.envelope import problems
from app.routes.examples import DECIDING, LOOKING, READING
from app.routes.guarded import Guarded, guarded_problems
from app.routes.parameters import Photo, RuleDep, TopK, bytes_of
from app.routes.service import Call, CallDep
from app.schemas import IdentifyAnswer
from app.security import require

router = APIRouter(tags=["identify"], route_class=Guarded, responses=guarded_problems())

_MOST_ROWS: Final = 100  # of the audit log, for one photo
_OnlyGood = Annotated[
    bool, Query(description="Search no face of which `quality` has a doubt; `not_searched` says which those were.")
]


@router.post(
    "/identify",
    dependencies=[Depends(require("identify"))],
    responses=problems(*READING, *LOOKING, *DECIDING),
)
async def identify(
    image: Photo,
    call: CallDep,
    rule: RuleDep,
    top_k: TopK = 5,
    only_good: _OnlyGood = False,
) -> IdentifyAnswer:
    """Every face of the photo, its Candidates and the Decision. A photo without a face is answered with no faces."""
    read = bytes_of(image)

    def work(ticket: Ticket) -> IdentifyAnswer:
        answered = call.engine.identify(read, top_k, ticket, gallery=call.collection, rule=rule, only_good=only_good)
        record(call, answered)
        call.shadowed(read, answered, rule)
        return IdentifyAnswer.answering(answered, call.by.request_id)

    return await call.computed(work, rule=rule)


def record(call: Call, answered: Answered) -> None:
    """A row of the audit log for each Subject that a face was taken for; one row where nobody was recognised."""
    faces = answered.found.faces
    known = dict.fromkeys(face.decision.subject_id for face in faces if face.decision.subject_id is not None)
    body = {
        "model_id": answered.active.card.model_id,
        "faces": len(faces),
        "searched": sum(not face.not_searched for face in faces),
        "recognised": len(known),
    }
    rows: list[str | None] = [*list(known)[:_MOST_ROWS]]
    for subject_id in rows or [None]:
        call.note("identify", body, subject_id=subject_id)
