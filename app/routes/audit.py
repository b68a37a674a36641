"""What was done, by whom, to whom; and whether anybody changed the record of it."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query

from app.cursors import read_cursor, write_cursor
from app.envelope import problems
from app.errors import CursorInvalid
from app.routes.examples import READING
from app.routes.guarded import Guarded, guarded_problems
from app.routes.parameters import Cursor, Limit
from app.routes.service import ServiceDep
from app.schemas_audit import AuditAnswer, AuditVerdict, EntryAnswer
from app.security import require
from index import audit
from index.errors import AuditInvalid

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=Guarded, responses=guarded_problems())

_AUDIT: Final = Depends(require("audit", everywhere=True))
_Filter = Annotated[str | None, Query(min_length=1, max_length=500, description="These rows alone.")]


@router.get(
    "",
    dependencies=[_AUDIT],
    responses=problems(
        *READING, CursorInvalid("no cursor of this list", "abc", "Give the next_cursor of the page before.")
    ),
)
def list_audit(
    service: ServiceDep,
    limit: Limit = 100,
    cursor: Cursor = None,
    collection: _Filter = None,
    action: _Filter = None,
    subject_id: Annotated[
        str | None, Query(min_length=1, max_length=500, description="Rows about this Subject, by its id.")
    ] = None,
) -> AuditAnswer:
    """Rows of the log, newest first. It knows a Subject by a keyed digest alone, even one that was forgotten."""
    store = service.engine.gallery.store
    service.engine.trail.settle()
    listed = {"list": "audit", "collection": collection, "action": action, "subject_id": subject_id}
    before = None if cursor is None else int(read_cursor(cursor, listed, store.digest_of))
    subject = None if subject_id is None else store.digest_of(subject_id)
    found = store.read(
        lambda connection: audit.entries(
            connection, limit + 1, before=before, collection=collection, action=action, subject=subject
        )
    )
    more = len(found) > limit
    return AuditAnswer(
        entries=[EntryAnswer.of(entry) for entry in found[:limit]],
        next_cursor=write_cursor(found[limit - 1].seq, listed, store.digest_of) if more else None,
    )


@router.get(
    "/verify",
    dependencies=[_AUDIT],
    responses=problems(
        *READING, AuditInvalid("not the head of an audit log", "abc", "Give NUMBER:HASH as it was answered before.")
    ),
)
def verify_audit(
    service: ServiceDep,
    head: Annotated[
        str | None, Query(max_length=100, description="The `head` of an earlier answer, kept elsewhere.")
    ] = None,
) -> AuditVerdict:
    """Check every row against the chain of hashes, and the chain against a head that was kept. Reads the whole log."""
    kept = None if head is None else audit.parse_head(head)
    service.engine.trail.settle()
    problems_, last = service.engine.gallery.store.read(
        lambda connection: (audit.verify(connection, kept), audit.head(connection))
    )
    return AuditVerdict.of(problems_, last)
