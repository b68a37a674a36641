"""What is said of collections, Subjects and their faces. Fields may be added; none is renamed or removed."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field, field_validator

from app.enrolment import Enrolled, Rejected
from index.answers import QualityAnswer, Schema
from index.gallery import Receipt, Subject, SubjectDetails, TemplateInfo
from index.store import CollectionInfo

_ASKED = ConfigDict(frozen=True, extra="forbid")

CollectionName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Letters, digits, `.`, `_` and `-`; 64 at most.",
        examples=["visitors"],
    ),
]
SubjectId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        pattern=r"^[^/]+$",
        description="Your id for this person, on one line and without `/`. It stands in addresses: not a name, rather.",
        examples=["emp-1042"],
    ),
]
Name = Annotated[str, Field(min_length=1, max_length=500, description="To be shown.", examples=["Ada Lovelace"])]
Metadata = Annotated[dict[str, Any], Field(description="Whatever JSON can hold; the service does not look into it.")]
ExternalId = Annotated[str, Field(max_length=500, description="The id in another system of yours; empty: none.")]
Consent = Annotated[str, Field(max_length=500, description="Where the consent is kept: a reference; empty: none.")]
Purpose = Annotated[str, Field(max_length=500, description="What the faces may be used for; empty: not stated.")]
Expires = Annotated[
    AwareDatetime | None,
    Field(description="From then on the Subject is forgotten by itself, within a minute or so. null: never."),
]


class CollectionRequest(Schema):
    model_config = ConfigDict(**_ASKED, json_schema_extra={"examples": [{"name": "visitors"}]})

    name: CollectionName


class CollectionAnswer(Schema):
    name: str
    space_id: Annotated[str, Field(description="Names the Space of its Templates; a model of another cannot search.")]
    subjects: int
    templates: int
    version: Annotated[int, Field(description="Grows with every change.")]

    @classmethod
    def of(cls, info: CollectionInfo) -> "CollectionAnswer":
        return cls(
            name=info.name,
            space_id=info.space.space_id,
            subjects=info.subjects,
            templates=info.templates,
            version=info.version,
        )


class CollectionsAnswer(Schema):
    collections: list[CollectionAnswer]


class CollectionReceipt(Schema):
    name: str
    subjects: int
    templates: int
    erased: Annotated[bool, Field(description="Its bytes are overwritten; false: the next deletion tries again.")]


class SubjectRequest(Schema):
    model_config = ConfigDict(
        **_ASKED,
        json_schema_extra={
            "examples": [
                {
                    "subject_id": "emp-1042",
                    "name": "Ada Lovelace",
                    "metadata": {"floor": 3},
                    "consent": "form 2026-117",
                    "purpose": "door",
                    "expires": "2027-11-28T00:00:00Z",
                }
            ]
        },
    )

    subject_id: SubjectId
    name: Annotated[Name | None, Field(description="To be shown; not given: the id.")] = None
    external_id: ExternalId = ""
    metadata: Annotated[Metadata, Field(default_factory=dict)]
    consent: Consent = ""
    purpose: Purpose = ""
    expires: Expires = None

    @field_validator("subject_id")
    @classmethod
    def _no_folder(cls, value: str) -> str:
        if value in (".", ".."):
            raise ValueError("in an address this means another one")
        return value

    def details(self) -> SubjectDetails:
        return SubjectDetails(self.external_id, self.metadata, self.consent, self.purpose)


class SubjectChange(Schema):
    """What is given is changed; all else stays."""

    model_config = ConfigDict(
        **_ASKED, json_schema_extra={"examples": [{"name": "Ada King"}, {"expires": "2027-01-01T00:00:00Z"}]}
    )

    name: Name | None = None
    external_id: ExternalId | None = None
    metadata: Metadata | None = None
    consent: Consent | None = None
    purpose: Purpose | None = None
    expires: Expires = None

    def details(self, known: SubjectDetails) -> SubjectDetails:
        """As they are to be."""
        given = self.model_dump(include={"external_id", "metadata", "consent", "purpose"}, exclude_none=True)
        return SubjectDetails(
            given.get("external_id", known.external_id),
            given.get("metadata", known.metadata),
            given.get("consent", known.consent),
            given.get("purpose", known.purpose),
        )

    @property
    def touches_details(self) -> bool:
        return bool(self.model_fields_set & {"external_id", "metadata", "consent", "purpose"})


class SubjectAnswer(Schema):
    subject_id: str
    name: str
    external_id: str
    metadata: dict[str, Any]
    consent: str
    purpose: str
    expires: Annotated[str | None, Field(description="ISO 8601, UTC; null: never.")]
    created: Annotated[str, Field(description="ISO 8601, UTC; empty when unknown.")]
    templates: Annotated[int, Field(description="How many faces are enrolled.")]

    @classmethod
    def of(cls, subject: Subject) -> "SubjectAnswer":
        details = subject.details
        return cls(
            subject_id=subject.subject_id,
            name=subject.name,
            external_id=details.external_id,
            metadata=dict(details.metadata),
            consent=details.consent,
            purpose=details.purpose,
            expires=subject.expires,
            created=subject.created,
            templates=subject.templates,
        )


class SubjectsAnswer(Schema):
    subjects: Annotated[list[SubjectAnswer], Field(description="By their ids.")]
    next_cursor: Annotated[str | None, Field(description="For the next page; null: this was the last.")]


class ReceiptAnswer(Schema):
    """What was forgotten, and since when."""

    subject_id: str
    templates: int
    hidden_at: Annotated[str, Field(description="In no answer from then on. ISO 8601, UTC.")]
    erased_at: Annotated[
        str | None,
        Field(
            description="Its bytes are in no file from then on; null: they are still in what `left_in` names or, "
            "where that is empty, another process keeps a read open, or the disk is full. The service tries again when "
            "something is next forgotten."
        ),
    ]
    left_in: Annotated[
        list[str],
        Field(description="Backups beside the gallery that still have it, each with the reason and what to do."),
    ]

    @classmethod
    def of(cls, receipt: Receipt) -> "ReceiptAnswer":
        return cls(
            subject_id=receipt.subject_id,
            templates=receipt.templates,
            hidden_at=receipt.hidden_at,
            erased_at=receipt.erased_at,
            left_in=list(receipt.left_in),
        )


class FaceInfo(Schema):
    template_id: str
    model_id: Annotated[str, Field(description="The model that made the Template.")]
    reasons: Annotated[list[str], Field(description="What spoke against the photo when it was enrolled.")]
    created: str
    source: Annotated[str, Field(description="SHA-256 of the photo's bytes; empty when unknown. It is not kept.")]

    @classmethod
    def of(cls, template: TemplateInfo) -> "FaceInfo":
        return cls(
            template_id=str(template.template_id),
            model_id=template.model_id,
            reasons=list(template.quality),
            created=template.created,
            source=template.source,
        )


class FacesAnswer(Schema):
    faces: Annotated[list[FaceInfo], Field(description="Oldest first.")]


class EnrolledFace(Schema):
    template_id: str
    index: Annotated[int, Field(description="Which of the photos, from 0.")]
    filename: str
    quality: QualityAnswer
    flagged: Annotated[
        list[str],
        Field(
            description="Reasons to look at the photo again: those of `quality`, `duplicate`, `near_duplicate`, "
            "`closer_to_another_subject`."
        ),
    ]

    @classmethod
    def of(cls, face: Enrolled) -> "EnrolledFace":
        return cls(
            template_id=str(face.template_id),
            index=face.index,
            filename=face.filename,
            quality=QualityAnswer(ok=face.quality.ok, reasons=list(face.quality.reasons)),
            flagged=list(face.flagged),
        )


class RejectedPhoto(Schema):
    index: Annotated[int, Field(description="Which of the photos, from 0.")]
    filename: str
    reasons: Annotated[
        list[str],
        Field(
            description="`no_face`, `several_faces`, `too_poor`, `image_unreadable`, `image_type_refused`, "
            "`image_too_large`; and, of a service that is strict, what would be flagged."
        ),
    ]

    @classmethod
    def of(cls, photo: Rejected) -> "RejectedPhoto":
        return cls(index=photo.index, filename=photo.filename, reasons=list(photo.reasons))


class EnrolmentAnswer(Schema):
    subject_id: str
    faces: Annotated[list[EnrolledFace], Field(description="Those that are enrolled, in the order of the photos.")]
    rejected: Annotated[list[RejectedPhoto], Field(description="Those that are not, with the reasons.")]

    @classmethod
    def of(cls, subject_id: str, enrolled: Iterable[Enrolled], rejected: Iterable[Rejected]) -> "EnrolmentAnswer":
        return cls(
            subject_id=subject_id,
            faces=[EnrolledFace.of(face) for face in enrolled],
            rejected=[RejectedPhoto.of(photo) for photo in rejected],
        )


class MergeRequest(Schema):
    model_config = ConfigDict(**_ASKED, json_schema_extra={"examples": [{"into": "emp-1042"}]})

    into: Annotated[SubjectId, Field(description="The Subject that has everything afterwards.")]


class MergeAnswer(Schema):
    merge: Annotated[int, Field(description="Its number: POST /v1/merges/{merge}/undo takes it back.")]
    subject: Annotated[SubjectAnswer, Field(description="The one that is left.")]


class NegativeAnswer(Schema):
    negative_id: str


class NegativesAnswer(Schema):
    negatives: Annotated[list[NegativeAnswer], Field(description="Oldest first.")]


class DroppedAnswer(Schema):
    negative_id: str
    status: Literal["dropped"] = "dropped"


class ExportAnswer(Schema):
    """All that is held on a Subject in this collection: what the person may ask for."""

    subject_id: str
    store_id: str
    exported_at: str
    collections: Annotated[dict[str, Any], Field(description="By name: this one.")]
    log: Annotated[list[dict[str, Any]], Field(description="What was done with the Subject, oldest first.")]

    @classmethod
    def of(cls, held: dict[str, Any], collection: str, now: datetime) -> "ExportAnswer":
        return cls(
            subject_id=held["subject_id"],
            store_id=held["store_id"],
            exported_at=now.astimezone(UTC).isoformat(timespec="seconds"),
            collections={collection: held["collections"][collection]},
            log=[entry for entry in held["log"] if entry["collection"] == collection],
        )
