"""Templates and negative examples in the store. Functions of a connection, to be run as jobs."""

import json
import sqlite3
from collections.abc import Iterable, Sequence

import numpy as np

from faces.embed import Vectors
from index import subjects
from index.collection import Change, Collection
from index.contract import Enrolment, Template, TemplateInfo, require_subject_id, require_text, unit_rows
from index.errors import NegativeUnknown, NothingToEnrol, TemplatesInvalid, TemplateUnknown
from index.rows import (
    NEGATIVE,
    TEMPLATE,
    Numbers,
    Row,
    negative_fault,
    negative_row,
    negative_vectors,
    template_fault,
    template_row,
    template_vectors,
    to_bytes,
)
from index.subjects import NUMBER


def checked(enrolment: Enrolment, dim: int) -> Vectors:
    """(n, dim): its embeddings, of unit length. Raises SubjectInvalid, NothingToEnrol, TemplatesInvalid."""
    require_subject_id(enrolment.subject_id)
    if enrolment.name is not None:
        require_text(enrolment.name, "name")
    if not enrolment.templates:
        raise NothingToEnrol("no Templates for Subject", enrolment.subject_id, "Give at least one.")
    for template in enrolment.templates:
        if np.shape(template.embedding) != (dim,):
            raise TemplatesInvalid(
                "an embedding of the wrong shape", np.shape(template.embedding), f"This Space has ({dim},)."
            )
    return unit_rows(np.stack([template.embedding for template in enrolment.templates]), dim, TemplatesInvalid)


def add(change: Change, subject: int, templates: Sequence[Template], vectors: Vectors) -> list[int]:
    """The ids of the new Templates, in order. vectors: (n, dim), their embeddings."""
    first = change.next_number("templates")
    ids = list(range(first, first + len(templates)))
    rows = [
        template_row(
            change.of.sealing,
            number,
            subject,
            template.model_id,
            template.source,
            json.dumps(template.quality),
            change.at,
            to_bytes(vector),
        )
        for number, template, vector in zip(ids, templates, vectors, strict=True)
    ]
    change.connection.executemany(f"INSERT INTO templates ({TEMPLATE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608
    change.record("enrol", [(number, subject) for number in ids])
    return ids


def listed(connection: sqlite3.Connection, of: Collection, subject_id: str) -> list[TemplateInfo]:
    """Those of a Subject, oldest first. Raises SubjectUnknown."""
    subject = subjects.require(connection, of, subject_id)[NUMBER]
    return [
        TemplateInfo(number, model_id, source, tuple(json.loads(quality)), created)
        for number, _, model_id, source, quality, created, _, _ in rows_of(connection, of, subject)
    ]


def owner(connection: sqlite3.Connection, of: Collection, template: int) -> str:
    """The id of the Subject that has this Template. Raises TemplateUnknown when nobody of this collection does."""
    row = connection.execute(
        "SELECT subject_id FROM templates JOIN subjects ON number = subject WHERE id = ? AND collection = ?",
        (template, of.number),
    ).fetchone()
    if row is None:
        raise TemplateUnknown("no such Template in this collection", template, "List the Templates of the Subject.")
    return str(row[0])


def vectors_of(connection: sqlite3.Connection, of: Collection, subject: int) -> tuple[Numbers, Vectors]:
    """Ids (n,) and embeddings (n, dim) of a Subject, oldest first."""
    rows = rows_of(connection, of, subject)
    return np.array([row[0] for row in rows], np.int64), template_vectors(rows, of.sealing, of.space.dim)


def erase(change: Change, subject_id: str, template: int) -> None:
    """Delete one. Raises SubjectUnknown; TemplateUnknown when it is not this Subject's."""
    subject = subjects.require(change.connection, change.of, subject_id)[NUMBER]
    found = change.connection.execute("DELETE FROM templates WHERE id = ? AND subject = ?", (template, subject))
    if not found.rowcount:
        raise TemplateUnknown("no such Template of this Subject", template, "List the Templates of the Subject.")
    change.record("erase", [(template, subject)])
    change.ask_to_scrub()
    change.tell("forget_template", subject_id, {"template": template})


def move(change: Change, giver: int, taker: int, ids: Iterable[int] | None = None) -> list[int]:
    """Give Templates of one Subject to another; the ids of those that were moved. ids: these alone; None: all."""
    wanted = None if ids is None else set(ids)
    rows = [row for row in rows_of(change.connection, change.of, giver) if wanted is None or row[0] in wanted]
    vectors = template_vectors(rows, change.of.sealing, change.of.space.dim)
    for (number, _, model_id, source, quality, created, _, _), vector in zip(rows, vectors, strict=True):
        moved = template_row(change.of.sealing, number, taker, model_id, source, quality, created, to_bytes(vector))
        change.connection.execute(
            "UPDATE templates SET subject = ?, embedding = ?, crc = ? WHERE id = ?",
            (taker, moved[-2], moved[-1], number),
        )
    moved_ids = [row[0] for row in rows]
    change.record("move", [(number, taker) for number in moved_ids])
    return moved_ids


def add_negative(change: Change, subject_id: str, model_id: str, vector: Vectors) -> int:
    """The id of a new negative example. vector: (dim,). Raises SubjectUnknown."""
    subject = subjects.require(change.connection, change.of, subject_id)[NUMBER]
    number = change.next_number("negatives")
    row = negative_row(change.of.sealing, number, subject, model_id, change.at, to_bytes(vector))
    change.connection.execute(f"INSERT INTO negatives ({NEGATIVE}) VALUES (?, ?, ?, ?, ?, ?)", row)  # noqa: S608
    change.record("subject", [(0, subject)])
    change.tell("add_negative", subject_id, {"negative": number})
    return number


def negatives(connection: sqlite3.Connection, of: Collection, subject_id: str) -> list[int]:
    """The ids of a Subject's negative examples. Raises SubjectUnknown."""
    subject = subjects.require(connection, of, subject_id)[NUMBER]
    rows = connection.execute("SELECT id FROM negatives WHERE subject = ? ORDER BY id", (subject,))
    return [row[0] for row in rows]


def drop_negative(change: Change, number: int) -> None:
    """Delete one. Raises NegativeUnknown when it is of no Subject of this collection."""
    row = change.connection.execute(
        "SELECT s.number, s.subject_id FROM negatives AS n JOIN subjects AS s ON s.number = n.subject"
        " WHERE n.id = ? AND s.collection = ?",
        (number, change.of.number),
    ).fetchone()
    if row is None:
        raise NegativeUnknown("no such negative example", number, "List those of the Subject.")
    change.connection.execute("DELETE FROM negatives WHERE id = ?", (number,))
    change.record("subject", [(0, row[0])])
    change.tell("drop_negative", row[1], {"negative": number})


def move_negatives(change: Change, giver: int, taker: int, ids: Iterable[int] | None = None) -> list[int]:
    """As `move`, for negative examples."""
    wanted = None if ids is None else set(ids)
    found = negative_rows_of(change.connection, change.of, [giver])
    rows = [row for row in found if wanted is None or row[0] in wanted]
    for row, vector in zip(rows, negative_vectors(rows, change.of.sealing, change.of.space.dim), strict=True):
        moved = negative_row(change.of.sealing, row[0], taker, row[2], row[3], to_bytes(vector))
        change.connection.execute(
            "UPDATE negatives SET subject = ?, embedding = ?, crc = ? WHERE id = ?", (taker, *moved[-2:], row[0])
        )
    return [row[0] for row in rows]


def negative_examples(connection: sqlite3.Connection, of: Collection, numbers: Iterable[int]) -> dict[int, Vectors]:
    """Number of a Subject -> its negative examples (n, dim); Subjects without any are left out."""
    rows = negative_rows_of(connection, of, numbers)
    vectors = negative_vectors(rows, of.sealing, of.space.dim)
    owners = np.array([row[1] for row in rows], np.int64)
    return {int(owner): vectors[owners == owner] for owner in np.unique(owners)}


def sources(connection: sqlite3.Connection, of: Collection) -> list[tuple[str, str]]:
    """(source, subject id) of every Template whose photo is known."""
    return connection.execute(
        "SELECT DISTINCT source, subject_id FROM templates JOIN subjects ON number = subject"
        " WHERE source != '' AND collection = ?",
        (of.number,),
    ).fetchall()


def rows_of(connection: sqlite3.Connection, of: Collection, subject: int) -> list[Row]:
    """Of the Subject with this number, as TEMPLATE names them, oldest first. Raises GalleryCorrupt."""
    rows = connection.execute(
        f"SELECT {TEMPLATE} FROM templates WHERE subject = ? ORDER BY id",  # noqa: S608 - names of ours
        (subject,),
    ).fetchall()
    for row in rows:
        of.require_sound(template_fault(row))
    return rows


def negative_rows_of(connection: sqlite3.Connection, of: Collection, numbers: Iterable[int]) -> list[Row]:
    """The same of several Subjects, as NEGATIVE names them."""
    rows = connection.execute(
        f"SELECT {NEGATIVE} FROM negatives WHERE subject IN (SELECT value FROM json_each(?)) ORDER BY id",  # noqa: S608
        (json.dumps(list(numbers)),),
    ).fetchall()
    for row in rows:
        of.require_sound(negative_fault(row))
    return rows
