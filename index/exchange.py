"""A collection leaves a store in a signed file, and enters another.

Lines of the file are the dataclasses below; embeddings lie beside them as fp16. See `index.parcel`.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import TypeAdapter, ValidationError

from faces.embed import Vectors
from faces.space import SPACE_JSON, Space
from index import subjects
from index.collection import Change, Collection
from index.contract import SubjectDetails, require_subject_id, require_text, unit_rows
from index.errors import CollectionInvalid, CollectionUnknown, ExportInvalid, TemplatesInvalid
from index.landing import new_file
from index.parcel import Line, Packing, Parcel, Signer, unpack
from index.rows import (
    NEGATIVE,
    SUBJECT,
    TEMPLATE,
    Row,
    details_from_json,
    details_to_json,
    negative_fault,
    negative_row,
    size_of,
    subject_fault,
    template_fault,
    template_row,
    to_bytes,
)
from index.sealing import Table, place
from index.store import Store
from index.subjects import NUMBER

_LINES: Final = "subjects.jsonl"


@dataclass(frozen=True, slots=True)
class Exported:
    path: Path
    collection: str
    subjects: int
    templates: int
    negatives: int
    signed_by: str
    """Public key, 64 hex digits: what `index import --signed-by` wants."""


@dataclass(frozen=True, slots=True)
class Imported:
    collection: str
    subjects: int
    templates: int
    negatives: int
    already: list[str]
    """Ids of Subjects that were there: left as they are, and nothing of the file's added to them."""


@dataclass(frozen=True, slots=True)
class SubjectLine:
    subject_id: str
    name: str
    created: str
    expires: str | None = None
    details: SubjectDetails = field(default_factory=SubjectDetails)


@dataclass(frozen=True, slots=True)
class TemplateLine:
    subject: int
    """Which line of subjects.jsonl, from 0."""
    model_id: str
    created: str
    source: str
    quality: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NegativeLine:
    subject: int
    model_id: str
    created: str


@dataclass(frozen=True, slots=True, eq=False)
class _Content:
    """A parcel, understood."""

    subjects: list[SubjectLine]
    templates: list[TemplateLine]
    embeddings: Vectors
    negatives: list[NegativeLine]
    negative_embeddings: Vectors


_SUBJECTS: Final = TypeAdapter(list[SubjectLine])
_TEMPLATES: Final = TypeAdapter(list[TemplateLine])
_NEGATIVES: Final = TypeAdapter(list[NegativeLine])


def export_collection(store: Store, collection: str, path: Path, signer: Signer, *, actor: str = "cli") -> Exported:
    """Write a collection as of one moment; the file lands whole. Embeddings in it are in the clear.

    Raises CollectionUnknown, GalleryExists, GalleryUnavailable, GalleryCorrupt.
    """
    elsewhere = "Choose another path for the export."
    with (
        new_file(path, "no export can be written", elsewhere) as part,
        part.open("wb") as file,
        Packing(file) as packing,
    ):
        exported = store.read(lambda connection: _pack(connection, store, collection, packing, signer, path))
    body = {"subjects": exported.subjects, "templates": exported.templates, "signed_by": signer.public}
    store.audit(actor, "export", collection=collection, body=body)
    return exported


def require_importable(path: Path, trusted: Sequence[str], collection: str | None = None) -> None:
    """Raises what `import_collection` raises of a file that no store takes, or of a name for what is in it."""
    parcel = unpack(path, trusted)
    _understood(parcel, path)
    _name(parcel, collection)


def import_collection(
    store: Store, path: Path, trusted: Sequence[str], *, collection: str | None = None, actor: str = "cli"
) -> Imported:
    """Take in what a file holds, into the collection of its name unless another is named; made where there is none.

    All or nothing, but Subjects that are there already: those are left as they are and listed.
    Raises ExportInvalid, SignatureRefused, SpaceMismatch, and what enrolling raises.
    """
    parcel = unpack(path, trusted)
    content, space = _understood(parcel, path), _space(parcel, path)
    name = _name(parcel, collection)
    at = store.clock().isoformat()

    def take_in(connection: sqlite3.Connection) -> Imported:
        try:
            of = store.find(connection, name)
        except CollectionUnknown:
            of = store.make(connection, name, space, actor, at)
        of.space.require_same(space, "Import it into a collection of its own: --collection.")
        return _take_in(Change(connection, of, actor, at), content)

    return store.write(take_in)


def _pack(
    connection: sqlite3.Connection, store: Store, collection: str, packing: Packing, signer: Signer, path: Path
) -> Exported:
    of = store.find(connection, collection)
    order = {row[NUMBER]: line for line, row in enumerate(_people(connection, of))}
    packing.add_lines(_LINES, (_subject_line(row) for row in _people(connection, of)))
    counts: dict[str, int] = {}
    for kind in (_PHOTOS, _EXAMPLES):
        counts[kind.table] = packing.add_lines(
            kind.lines, (kind.line(order[row[1]], row) for row in _rows(connection, of, kind))
        )
        packing.add_rows(
            kind.array,
            counts[kind.table],
            of.space.dim,
            (opened(of, kind.table, row) for row in _rows(connection, of, kind)),
        )
    manifest: Line = {
        "store_id": store.store_id,
        "collection": collection,
        "space": SPACE_JSON.dump_python(of.space, mode="json"),
        "exported": store.clock().isoformat(),
        "subjects": len(order),
        **counts,
    }
    packing.finish(manifest, signer)
    return Exported(path, collection, len(order), counts["templates"], counts["negatives"], signer.public)


def opened(of: Collection, table: Table, row: Row) -> bytes:
    """The embedding of a row of `templates` or `negatives`: fp16, not sealed. Raises SealBroken."""
    return of.sealing.open(row[-2], place(table, row[0], row[1], row[2]), size_of(of.space.dim))


def _subject_line(row: Row) -> Line:
    _, _, subject_id, name, details, expires, created, _ = row
    return asdict(SubjectLine(subject_id, name, created, expires, details_from_json(details)))


def _template_line(subject: int, row: Row) -> Line:
    _, _, model_id, source, quality, created, _, _ = row
    return asdict(TemplateLine(subject, model_id, created, source, json.loads(quality)))


def _negative_line(subject: int, row: Row) -> Line:
    return asdict(NegativeLine(subject, model_id=row[2], created=row[3]))


@dataclass(frozen=True, slots=True)
class _Kind:
    """A table, and how it travels."""

    table: Table
    select: str
    fault: Callable[[Row], str | None]
    lines: str
    array: str
    line: Callable[[int, Row], Line]


_OF_THESE: Final = "subject IN (SELECT number FROM subjects WHERE collection = ?) ORDER BY id"
_PHOTOS: Final = _Kind(
    "templates",
    f"SELECT {TEMPLATE} FROM templates WHERE {_OF_THESE}",  # noqa: S608
    template_fault,
    "templates.jsonl",
    "embeddings.npy",
    _template_line,
)
_EXAMPLES: Final = _Kind(
    "negatives",
    f"SELECT {NEGATIVE} FROM negatives WHERE {_OF_THESE}",  # noqa: S608
    negative_fault,
    "negatives.jsonl",
    "negatives.npy",
    _negative_line,
)


def _people(connection: sqlite3.Connection, of: Collection) -> Iterator[Row]:
    for row in connection.execute(
        f"SELECT {SUBJECT} FROM subjects WHERE collection = ? ORDER BY number",  # noqa: S608
        (of.number,),
    ):
        of.require_sound(subject_fault(row))
        yield row


def _rows(connection: sqlite3.Connection, of: Collection, kind: _Kind) -> Iterator[Row]:
    for row in connection.execute(kind.select, (of.number,)):
        of.require_sound(kind.fault(row))
        yield row


def _understood(parcel: Parcel, path: Path) -> _Content:
    """Raises ExportInvalid, SubjectInvalid, TemplatesInvalid."""
    try:
        people = _SUBJECTS.validate_python(parcel.subjects)
        photos = _TEMPLATES.validate_python(parcel.templates)
        examples = _NEGATIVES.validate_python(parcel.negatives)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _invalid(f"a line that does not say what it must ({where}: {first['msg']})", path) from None
    seen: set[str] = set()
    for line in people:
        require_subject_id(line.subject_id)
        require_text(line.name, "name")
        details_to_json(line.details)
        if line.subject_id in seen:
            raise _invalid(f"Subject {line.subject_id!r} is in it twice", path)
        seen.add(line.subject_id)
        if line.expires is not None and _utc(line.expires) != line.expires:
            raise _invalid(f"not a moment in UTC: {line.expires!r}", path)
    owners = [*(line.subject for line in photos), *(line.subject for line in examples)]
    if not all(0 <= owner < len(people) for owner in owners):
        raise _invalid("a Template of a Subject that is not in it", path)
    return _Content(
        people,
        photos,
        unit_rows(parcel.embeddings.astype(np.float32), parcel.embeddings.shape[1], TemplatesInvalid),
        examples,
        unit_rows(parcel.negative_embeddings.astype(np.float32), parcel.embeddings.shape[1], TemplatesInvalid),
    )


def _utc(text: str) -> str | None:
    """As the store writes a moment; None for what is none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds")
    except ValueError:
        return None


def _name(parcel: Parcel, collection: str | None) -> str:
    """Raises CollectionInvalid."""
    name = str(parcel.manifest.get("collection")) if collection is None else collection
    require_text(name, "name of a collection", CollectionInvalid)
    return name


def _space(parcel: Parcel, path: Path) -> Space:
    try:
        return SPACE_JSON.validate_python(parcel.manifest["space"])
    except (KeyError, ValidationError):
        raise _invalid("a manifest without a Space", path) from None


def _take_in(change: Change, content: _Content) -> Imported:
    """Inside the store's transaction."""
    numbers: dict[int, int] = {}
    already = []
    for line, person in enumerate(content.subjects):
        if subjects.find(change.connection, change.of, person.subject_id) is not None:
            already.append(person.subject_id)
            continue
        numbers[line] = change.next_number("subjects")
        details = details_to_json(person.details)
        identity = (numbers[line], change.of.number, person.subject_id, person.name)
        subjects.write(change, (*identity, details, person.expires, person.created))
    change.record("subject", [(0, number) for number in numbers.values()])
    templates, negatives = _take_templates(change, content, numbers), _take_negatives(change, content, numbers)
    change.tell("import", None, {"subjects": len(numbers), "templates": templates, "already": len(already)})
    return Imported(change.of.name, len(numbers), templates, negatives, already)


def _take_templates(change: Change, content: _Content, numbers: Mapping[int, int]) -> int:
    first = change.next_number("templates")
    of_new = [at for at, line in enumerate(content.templates) if line.subject in numbers]
    rows = [
        template_row(
            change.of.sealing,
            first + count,
            numbers[line.subject],
            line.model_id,
            line.source,
            json.dumps(line.quality),
            line.created,
            to_bytes(content.embeddings[at]),
        )
        for count, at in enumerate(of_new)
        for line in (content.templates[at],)
    ]
    change.connection.executemany(f"INSERT INTO templates ({TEMPLATE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608
    change.record("enrol", [(row[0], row[1]) for row in rows])
    return len(rows)


def _take_negatives(change: Change, content: _Content, numbers: Mapping[int, int]) -> int:
    first = change.next_number("negatives")
    of_new = [at for at, line in enumerate(content.negatives) if line.subject in numbers]
    rows = [
        negative_row(
            change.of.sealing,
            first + count,
            numbers[line.subject],
            line.model_id,
            line.created,
            to_bytes(content.negative_embeddings[at]),
        )
        for count, at in enumerate(of_new)
        for line in (content.negatives[at],)
    ]
    change.connection.executemany(f"INSERT INTO negatives ({NEGATIVE}) VALUES (?, ?, ?, ?, ?, ?)", rows)  # noqa: S608
    return len(rows)


def _invalid(what: str, path: Path) -> ExportInvalid:
    return ExportInvalid(what, str(path), "Give a file that `index export` wrote.")
