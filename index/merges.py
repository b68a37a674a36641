"""Two Subjects that are one person become one, and two again when that was a mistake."""

import json
from typing import Final

from index import subjects, templates
from index.collection import Change
from index.errors import MergeImpossible, MergeUnknown, SubjectExists
from index.subjects import NUMBER, SUBJECT_ID

_NOTHING: Final = "[]"


def merge(change: Change, subject_id: str, into: str) -> int:
    """Give all that one Subject has to another, which stays as it is otherwise; the number that `undo` wants.

    Raises SubjectUnknown, MergeImpossible.
    """
    gone = subjects.require(change.connection, change.of, subject_id)
    kept = subjects.require(change.connection, change.of, into)
    if gone == kept:
        raise MergeImpossible("a Subject cannot be merged with itself", subject_id, "Name two.")
    moved = templates.move(change, gone[NUMBER], kept[NUMBER])
    negatives = templates.move_negatives(change, gone[NUMBER], kept[NUMBER])
    change.connection.execute("DELETE FROM subjects WHERE number = ?", (gone[NUMBER],))
    change.record("subject", [(0, kept[NUMBER])])
    number = change.next_number("merges")
    change.connection.execute(
        "INSERT INTO merges VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
        (
            number,
            change.of.number,
            kept[NUMBER],
            json.dumps(gone[:-1], ensure_ascii=False),
            json.dumps(moved),
            json.dumps(negatives),
            change.at,
        ),
    )
    change.tell("merge", subject_id, {"merge": number, "into": change.digest(into), "templates": len(moved)})
    return number


def undo(change: Change, number: int) -> str:
    """The id of the Subject that is back, with those of its Templates and negative examples that were not erased since.

    Raises MergeUnknown; SubjectExists when its id was taken since; MergeImpossible when the other Subject was merged
    in its turn.
    """
    row = change.connection.execute(
        "SELECT kept, merged, templates, negatives FROM merges WHERE number = ? AND collection = ? AND undone IS NULL",
        (number, change.of.number),
    ).fetchone()
    if row is None:
        raise MergeUnknown("no such merge, or it was undone", number, "Give the number that merging returned.")
    kept, merged, moved, negatives = row[0], *(json.loads(text) for text in row[1:])
    _require_undoable(change, kept, merged[SUBJECT_ID], number)
    subjects.write(change, tuple(merged))
    back = templates.move(change, kept, merged[NUMBER], moved)
    templates.move_negatives(change, kept, merged[NUMBER], negatives)
    change.record("subject", [(0, merged[NUMBER])])
    change.connection.execute(
        "UPDATE merges SET merged = ?, templates = ?, negatives = ?, undone = ? WHERE number = ?",
        (_NOTHING, _NOTHING, _NOTHING, change.at, number),
    )
    change.tell("undo_merge", merged[SUBJECT_ID], {"merge": number, "templates": len(back)})
    return str(merged[SUBJECT_ID])


def _require_undoable(change: Change, kept: int, subject_id: str, number: int) -> None:
    if subjects.find(change.connection, change.of, subject_id) is not None:
        raise SubjectExists(
            "somebody has this id since the merge", subject_id, "Forget that Subject, or keep the merge."
        )
    if change.connection.execute("SELECT 1 FROM subjects WHERE number = ?", (kept,)).fetchone() is None:
        raise MergeImpossible("the Subject it was merged with was merged in its turn", number, "Undo that merge first.")
