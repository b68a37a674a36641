"""Who is enrolled: create, list, change, merge, forget, and tell a person all that is held."""

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query

from app.cursors import read_cursor, write_cursor
from app.envelope import problems
from app.errors import CursorInvalid
from app.routes.examples import BAD_SUBJECT, NO_SUBJECT, READING, WRITING
from app.routes.guarded import Guarded, guarded_problems
from app.routes.parameters import Cursor, Limit, SubjectPath
from app.routes.service import ByDep, CollectionDep, ServiceDep
from app.schemas_gallery import (
    ExportAnswer,
    MergeAnswer,
    MergeRequest,
    ReceiptAnswer,
    SubjectAnswer,
    SubjectChange,
    SubjectRequest,
    SubjectsAnswer,
)
from app.security import require
from index.dossier import export_subject
from index.errors import MergeImpossible, MergeUnknown, SubjectExists, SubjectUnknown
from index.gallery import KEEP

router = APIRouter(tags=["subjects"], route_class=Guarded, responses=guarded_problems())

_ENROL: Final = Depends(require("enrol"))
_READ: Final = Depends(require("enrol", "admin"))
_ADMIN: Final = Depends(require("admin"))
_EXISTS: Final = SubjectExists("there is this Subject already", "emp-1042", "Update it, or choose another id.")


@router.post("/subjects", status_code=201, dependencies=[_ENROL], responses=problems(*WRITING, _EXISTS, BAD_SUBJECT))
def create_subject(asked: SubjectRequest, collection: CollectionDep, by: ByDep) -> SubjectAnswer:
    """A new Subject without faces. Durable when it is answered."""
    subject = collection.put_subject(
        asked.subject_id, name=asked.name, details=asked.details(), expires=asked.expires, actor=by
    )
    return SubjectAnswer.of(subject)


@router.get(
    "/subjects",
    dependencies=[_READ],
    responses=problems(
        *READING, CursorInvalid("no cursor of this list", "abc", "Give the next_cursor of the page before.")
    ),
)
def list_subjects(
    service: ServiceDep, collection: CollectionDep, limit: Limit = 100, cursor: Cursor = None
) -> SubjectsAnswer:
    """By their ids, a page at a time. What is enrolled or forgotten meanwhile moves nobody from page to page."""
    listed, digest = {"list": "subjects", "collection": collection.collection}, service.engine.trail.digest_of
    after = None if cursor is None else str(read_cursor(cursor, listed, digest))
    found = collection.subjects(limit + 1, after)
    more = len(found) > limit
    return SubjectsAnswer(
        subjects=[SubjectAnswer.of(subject) for subject in found[:limit]],
        next_cursor=write_cursor(found[limit - 1].subject_id, listed, digest) if more else None,
    )


@router.get("/subjects/{subject_id}", dependencies=[_READ], responses=problems(*READING, NO_SUBJECT))
def get_subject(subject_id: SubjectPath, collection: CollectionDep) -> SubjectAnswer:
    """All but the faces."""
    return SubjectAnswer.of(collection.subject(subject_id))


@router.patch("/subjects/{subject_id}", dependencies=[_ENROL], responses=problems(*WRITING, NO_SUBJECT, BAD_SUBJECT))
def update_subject(
    subject_id: SubjectPath, change: SubjectChange, collection: CollectionDep, by: ByDep
) -> SubjectAnswer:
    """Rename a Subject, or change what is known of it: what is not given stays. Its id stays for good."""
    details = change.details if change.touches_details else None
    expires = change.expires if "expires" in change.model_fields_set else KEEP
    return SubjectAnswer.of(
        collection.update_subject(subject_id, name=change.name, details=details, expires=expires, actor=by)
    )


@router.delete("/subjects/{subject_id}", dependencies=[_ENROL], responses=problems(*WRITING, NO_SUBJECT))
def forget_subject(subject_id: SubjectPath, collection: CollectionDep, by: ByDep) -> ReceiptAnswer:
    """Erase a Subject and all its faces for good; the receipt says since when."""
    return ReceiptAnswer.of(collection.forget(subject_id, actor=by))


@router.post(
    "/subjects/{subject_id}/merge",
    dependencies=[_ENROL],
    responses=problems(
        *WRITING, NO_SUBJECT, MergeImpossible("a Subject cannot be merged with itself", "emp-1042", "Name two.")
    ),
)
def merge_subject(subject_id: SubjectPath, asked: MergeRequest, collection: CollectionDep, by: ByDep) -> MergeAnswer:
    """Two Subjects that are one person become one: this one's faces go to `into`, and it is no more."""
    number = collection.merge(subject_id, asked.into, actor=by)
    return MergeAnswer(merge=number, subject=SubjectAnswer.of(collection.subject(asked.into)))


@router.post(
    "/merges/{merge}/undo",
    dependencies=[_ENROL],
    responses=problems(
        *WRITING,
        MergeUnknown("no such merge, or it was undone", 7, "Give the number that merging returned."),
        SubjectExists("somebody has this id since the merge", "emp-1042", "Forget that Subject, or keep the merge."),
        MergeImpossible("the Subject it was merged with was merged in its turn", 7, "Undo that merge first."),
    ),
)
def undo_merge(
    merge: Annotated[int, Path(ge=1, le=2**63 - 1, description="The number that merging returned.")],
    collection: CollectionDep,
    by: ByDep,
) -> SubjectAnswer:
    """The Subject that was merged into another is back, with its faces."""
    return SubjectAnswer.of(collection.undo_merge(merge, actor=by))


@router.get("/subjects/{subject_id}/export", dependencies=[_ADMIN], responses=problems(*READING, NO_SUBJECT))
def export_held(
    subject_id: SubjectPath,
    service: ServiceDep,
    collection: CollectionDep,
    by: ByDep,
    embeddings: Annotated[bool, Query(description="With the embeddings, too.")] = False,
) -> ExportAnswer:
    """All that is held on a Subject in this collection, and what was done with it: what the person may ask for."""
    collection.subject(subject_id)  # or nobody is told whether another collection has it
    service.engine.trail.settle()
    held = export_subject(collection.store, subject_id, embeddings=embeddings)
    if collection.collection not in held["collections"]:  # forgotten since
        raise SubjectUnknown(NO_SUBJECT.what, subject_id, NO_SUBJECT.remedy)
    service.engine.trail.note(by, "export_subject", collection.collection, {}, subject_id=subject_id)
    return ExportAnswer.of(held, collection.collection, datetime.now(UTC))
