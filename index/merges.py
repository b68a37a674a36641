"""Two Subjects that are one person become one, and two again when that was a mistake."""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from index import subjects, templates
from index.collection import Change
from index.errors import MergeImpossible, MergeUnknown, SubjectExists
from index.rows import Row, crc
from index.subjects import NUMBER, SUBJECT_ID

MERGE: Final = "number, merged, templates, negatives"
"""`merged`: the row of the Subject that went, and the checksum of that and of the two lists."""

_NOTHING: Final = "[]"


@dataclass(frozen=True, slots=True)
class Merge:
    """One that was not undone."""

    number: int
    kept: int
    """Number of the Subject that the other one is part of."""
    merged: Row
    """The row of the Subject that went, without its checksum."""
    templates: list[int]
    negatives: list[int]

    @property
    def subject_id(self) -> str:
        """Of the one that went."""
        return str(self.merged[SUBJECT_ID])


def merge(change: Change, subject_id: str, into: str, *, create: bool = False) -> int:
    """Give all that one Subject has to another, which stays as it is otherwise; the number that `undo` wants.

    create: the other one may be new. It is then made with the details and the expiry of the one that goes.
    Raises SubjectUnknown, MergeImpossible, SubjectInvalid.
    """
    gone = subjects.require(change.connection, change.of, subject_id)
    if create and subjects.find(change.connection, change.of, into) is None:
        known = subjects.read(change.connection, change.of, subject_id)
        expires = None if known.expires is None else datetime.fromisoformat(known.expires)
        subjects.put(change, into, None, known.details, expires)
    kept = subjects.require(change.connection, change.of, into)
    if gone == kept:
        raise MergeImpossible("a Subject cannot be merged with itself", subject_id, "Name two.")
    moved = templates.move(change, gone[NUMBER], kept[NUMBER])
    negatives = templates.move_negatives(change, gone[NUMBER], kept[NUMBER])
    change.connection.execute("DELETE FROM subjects WHERE number = ?", (gone[NUMBER],))
    change.record("subject", [(0, kept[NUMBER])])
    number = change.next_number("merges")
    lists = json.dumps(moved), json.dumps(negatives)
    merged = json.dumps([*gone[:-1], crc(*gone[:-1], *lists)], ensure_ascii=False)
    change.connection.execute(
        "INSERT INTO merges VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
        (number, change.of.number, kept[NUMBER], merged, *lists, change.at),
    )
    change.tell("merge", subject_id, {"merge": number, "into": change.digest(into), "templates": len(moved)})
    return number


def undo(change: Change, number: int) -> str:
    """The id of the Subject that is back, with those of its Templates and negative examples that were not erased since.

    Raises MergeUnknown; SubjectExists when its id was taken since; MergeImpossible when the other Subject was merged
    in its turn.
    """
    found = read(change, number)
    _require_undoable(change, found)
    back = part(change, found, found.kept)
    change.tell("undo_merge", found.subject_id, {"merge": number, "templates": len(back)})
    return found.subject_id


def read(change: Change, number: int) -> Merge:
    """Raises MergeUnknown, GalleryCorrupt."""
    row = change.connection.execute(
        f"SELECT kept, {MERGE} FROM merges WHERE number = ? AND collection = ? AND undone IS NULL",  # noqa: S608
        (number, change.of.number),
    ).fetchone()
    if row is None:
        raise MergeUnknown("no such merge, or it was undone", number, "Give the number that merging returned.")
    change.of.require_sound(merge_fault(row[1:]))
    (*merged, _), moved, negatives = (json.loads(text) for text in row[2:])
    return Merge(number, row[0], tuple(merged), moved, negatives)


def part(change: Change, merge: Merge, holder: int) -> list[int]:
    """Make the one who was merged a Subject again, with what the Subject of number `holder` has of theirs.

    The ids of the Templates that were moved. Nothing is told; the id must be free.
    """
    number = merge.merged[NUMBER]
    subjects.write(change, merge.merged)
    back = templates.move(change, holder, number, merge.templates)
    templates.move_negatives(change, holder, number, merge.negatives)
    change.record("subject", [(0, number)])
    change.connection.execute(
        "UPDATE merges SET merged = ?, templates = ?, negatives = ?, undone = ? WHERE number = ?",
        (_NOTHING, _NOTHING, _NOTHING, change.at, merge.number),
    )
    return back


def merge_fault(row: Row) -> str | None:
    """What is wrong with a row of `merges` that was not undone, if anything: columns as MERGE names them."""
    number, merged, *lists = row
    with suppress(ValueError, TypeError):  # no JSON, or no list
        *fields, found = json.loads(merged)
        if found == crc(*fields, *lists):
            return None
    return f"Merge {number} fails its checksum"


def _require_undoable(change: Change, merge: Merge) -> None:
    if subjects.find(change.connection, change.of, merge.subject_id) is not None:
        raise SubjectExists(
            "somebody has this id since the merge", merge.subject_id, "Forget that Subject, or keep the merge."
        )
    if change.connection.execute("SELECT 1 FROM subjects WHERE number = ?", (merge.kept,)).fetchone() is None:
        raise MergeImpossible(
            "the Subject it was merged with was merged in its turn", merge.number, "Undo that merge first."
        )
