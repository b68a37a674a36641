"""What is said of the audit log."""

from typing import Annotated, Any

from pydantic import Field

from index.answers import Schema
from index.audit import Entry, Head


class EntryAnswer(Schema):
    seq: int
    at: Annotated[str, Field(description="ISO 8601, UTC.")]
    actor: Annotated[
        str, Field(description="The id of an API key; `cli`, `service`; `anyone` where none is asked for.")
    ]
    action: str
    collection: str
    subject: Annotated[str, Field(description="Keyed digest of the subject id; empty where nobody is meant.")]
    body: dict[str, Any]
    hash: Annotated[str, Field(description="SHA-256 over the row before and this one.")]

    @classmethod
    def of(cls, entry: Entry) -> "EntryAnswer":
        return cls(**{name: getattr(entry, name) for name in Entry.__slots__})


class AuditAnswer(Schema):
    entries: Annotated[list[EntryAnswer], Field(description="Newest first.")]
    next_cursor: Annotated[str | None, Field(description="For older rows; null: there are none.")]


class AuditVerdict(Schema):
    ok: bool
    problems: Annotated[list[str], Field(description="What is wrong, as sentences; empty when nothing is.")]
    head: Annotated[
        str,
        Field(description="The last row. Keep it where nobody who can write the store can write, and give it here."),
    ]

    @classmethod
    def of(cls, problems: list[str], head: Head) -> "AuditVerdict":
        return cls(ok=not problems, problems=problems, head=str(head))
