"""Rows of the store as Python sees them: embeddings as bytes, and the checksum that each row carries.

Embeddings are kept as fp16: half the file and half the pages to read at start, while a score moves by at most 4e-5,
a twentieth of the width a threshold is known to. The CRC covers what an answer rests on, and is checked whenever the
row is read.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faces.embed import Vectors
from index.contract import SubjectDetails, require_text
from index.errors import SubjectInvalid
from index.sealing import Sealing, place

Numbers = NDArray[np.int64]
Row = tuple[Any, ...]

_EMBEDDING: Final = np.dtype("<f2")
NO_DETAILS: Final = '{"external_id":"","metadata":{},"consent":"","purpose":""}'
_LONGEST_DETAILS: Final = 20_000  # characters of JSON

SUBJECT: Final = "number, collection, subject_id, name, details, expires, created, crc"
TEMPLATE: Final = "id, subject, model_id, source, quality, created, embedding, crc"
NEGATIVE: Final = "id, subject, model_id, created, embedding, crc"


def crc(*fields: object) -> int:
    """CRC-32 of the fields; ends of text are marked, so that no two different rows read alike."""
    found = 0
    for field in fields:
        found = zlib.crc32(field if isinstance(field, bytes) else f"{field}\0".encode(), found)
    return found


def with_crc(*fields: object) -> Row:
    """The fields of a row and its checksum, as SUBJECT, TEMPLATE and NEGATIVE name them."""
    return (*fields, crc(*fields))


def subject_fault(row: Row) -> str | None:
    """What is wrong with a row of `subjects`, if anything."""
    *fields, found = row
    return None if found == crc(*fields) else f"Subject number {row[0]} fails its checksum"


def template_fault(row: Row) -> str | None:
    """What is wrong with a row of `templates`, if anything."""
    *fields, found = row
    return None if found == crc(*fields) else f"Template {row[0]} fails its checksum"


def negative_fault(row: Row) -> str | None:
    """What is wrong with a row of `negatives`, if anything."""
    *fields, found = row
    return None if found == crc(*fields) else f"Negative example {row[0]} fails its checksum"


def template_row(
    sealing: Sealing, number: int, subject: int, model_id: str, source: str, quality: str, created: str, data: bytes
) -> Row:
    """A row of `templates`; data: the embedding's bytes, not sealed."""
    sealed = sealing.seal(data, place("templates", number, subject, model_id))
    return with_crc(number, subject, model_id, source, quality, created, sealed)


def negative_row(sealing: Sealing, number: int, subject: int, model_id: str, created: str, data: bytes) -> Row:
    """A row of `negatives`; data: the embedding's bytes, not sealed."""
    sealed = sealing.seal(data, place("negatives", number, subject, model_id))
    return with_crc(number, subject, model_id, created, sealed)


def to_bytes(embedding: Vectors) -> bytes:
    """(dim,) -> fp16, little-endian."""
    return embedding.astype(_EMBEDDING).tobytes()


def size_of(dim: int) -> int:
    """Bytes of an embedding that is not sealed."""
    return dim * _EMBEDDING.itemsize


def from_bytes(data: Iterable[bytes], count: int, dim: int) -> Vectors:
    """(count, dim) float32: exactly the numbers that are stored, so of unit length up to rounding alone."""
    return np.frombuffer(b"".join(data), dtype=_EMBEDDING).reshape(count, dim).astype(np.float32)


def template_vectors(rows: Sequence[Row], sealing: Sealing, dim: int) -> Vectors:
    """Rows of `templates` -> (n, dim) float32. Raises SealBroken."""
    size = size_of(dim)
    return from_bytes(
        (sealing.open(row[6], place("templates", row[0], row[1], row[2]), size) for row in rows), len(rows), dim
    )


def negative_vectors(rows: Sequence[Row], sealing: Sealing, dim: int) -> Vectors:
    """Rows of `negatives` -> (n, dim) float32. Raises SealBroken."""
    size = size_of(dim)
    return from_bytes(
        (sealing.open(row[4], place("negatives", row[0], row[1], row[2]), size) for row in rows), len(rows), dim
    )


def details_to_json(details: SubjectDetails) -> str:
    """Raises SubjectInvalid for what cannot be stored."""
    if details == SubjectDetails():
        return NO_DETAILS
    texts = {"external id": details.external_id, "consent": details.consent, "purpose": details.purpose}
    for what, text in texts.items():
        if text:
            require_text(text, what)
    try:
        body = json.dumps(asdict(details), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        body.encode()
    except (TypeError, ValueError):
        raise SubjectInvalid(
            "metadata that JSON cannot hold", type(details.metadata).__name__, "Give text and numbers."
        ) from None
    if not isinstance(details.metadata, Mapping) or len(body) > _LONGEST_DETAILS:
        raise SubjectInvalid("details too long to store", len(body), f"Keep to {_LONGEST_DETAILS} characters of JSON.")
    return body


def details_from_json(text: str) -> SubjectDetails:
    return SubjectDetails(**json.loads(text))
