"""The typed client of one collection: its Subjects, their faces, and who is in a photo."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from app.client_wire import Wire
from app.schemas import IdentifyAnswer
from app.schemas_gallery import (
    DroppedAnswer,
    EnrolmentAnswer,
    ExportAnswer,
    FacesAnswer,
    MergeAnswer,
    NegativeAnswer,
    NegativesAnswer,
    ReceiptAnswer,
    SubjectAnswer,
    SubjectsAnswer,
)
from app.schemas_photos import VerifyAnswer
from index.gallery import KEEP, Keep


class CollectionClient:
    """Every method raises ServiceUnreachable when nobody answers, ServiceRefused when the answer is an error."""

    def __init__(self, wire: Wire, prefix: str) -> None:
        self._wire = wire
        self._prefix = prefix

    # Who is it?

    def identify(
        self,
        photo: Path | bytes,
        *,
        top_k: int = 5,
        fpir: float | None = None,
        threshold: float | None = None,
        only_good: bool = False,
    ) -> IdentifyAnswer:
        """Every face of a photo, each with up to top_k Candidates and a Decision."""
        return self._identify(f"{self._prefix}/identify", photo, top_k, fpir, threshold, only_good)

    def verify(
        self,
        photo: Path | bytes,
        *,
        reference: Path | bytes | None = None,
        subject_id: str | None = None,
        fpir: float | None = None,
        threshold: float | None = None,
    ) -> VerifyAnswer:
        """Is it the person of the reference photo, or this Subject? Give one of the two."""
        files = {"image": ("photo", photo_bytes(photo))}
        if reference is not None:
            files["reference"] = ("reference", photo_bytes(reference))
        return self._wire.ask(
            VerifyAnswer,
            "POST",
            f"{self._prefix}/verify",
            optional={"fpir": fpir, "threshold": threshold},
            files=files,
            data={} if subject_id is None else {"subject_id": subject_id},
        )

    # Subjects.

    def create_subject(
        self,
        subject_id: str,
        *,
        name: str | None = None,
        external_id: str = "",
        metadata: Mapping[str, Any] | None = None,
        consent: str = "",
        purpose: str = "",
        expires: datetime | None = None,
    ) -> SubjectAnswer:
        """A new one without faces. expires: with its time zone."""
        asked = {
            "subject_id": subject_id,
            "name": name,
            "external_id": external_id,
            "metadata": dict(metadata or {}),
            "consent": consent,
            "purpose": purpose,
            "expires": None if expires is None else expires.isoformat(),
        }
        return self._wire.ask(SubjectAnswer, "POST", f"{self._prefix}/subjects", json=asked)

    def list_subjects(self, *, limit: int = 100, cursor: str | None = None) -> SubjectsAnswer:
        """A page of them, by their ids."""
        return self._wire.ask(
            SubjectsAnswer, "GET", f"{self._prefix}/subjects", params={"limit": limit}, optional={"cursor": cursor}
        )

    def every_subject(self, *, page: int = 1000) -> Iterator[SubjectAnswer]:
        """All of them, however many pages that takes."""
        answer = self.list_subjects(limit=page)
        yield from answer.subjects
        while answer.next_cursor is not None:
            answer = self.list_subjects(limit=page, cursor=answer.next_cursor)
            yield from answer.subjects

    def get_subject(self, subject_id: str) -> SubjectAnswer:
        return self._wire.ask(SubjectAnswer, "GET", self._of(subject_id))

    def update_subject(
        self,
        subject_id: str,
        *,
        name: str | None = None,
        external_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        consent: str | None = None,
        purpose: str | None = None,
        expires: datetime | Keep | None = KEEP,
    ) -> SubjectAnswer:
        """Change what is given; expires None: never."""
        given = {
            "name": name,
            "external_id": external_id,
            "metadata": metadata,
            "consent": consent,
            "purpose": purpose,
        }
        asked: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
        if not isinstance(expires, Keep):
            asked["expires"] = None if expires is None else expires.isoformat()
        return self._wire.ask(SubjectAnswer, "PATCH", self._of(subject_id), json=asked)

    def forget_subject(self, subject_id: str) -> ReceiptAnswer:
        """Erase it and all its faces for good."""
        return self._wire.ask(ReceiptAnswer, "DELETE", self._of(subject_id))

    def merge_subject(self, subject_id: str, into: str) -> MergeAnswer:
        """Two Subjects that are one person become one."""
        return self._wire.ask(MergeAnswer, "POST", f"{self._of(subject_id)}/merge", json={"into": into})

    def undo_merge(self, merge: int) -> SubjectAnswer:
        """The Subject that was merged is back."""
        return self._wire.ask(SubjectAnswer, "POST", f"{self._prefix}/merges/{merge}/undo")

    def export_held(self, subject_id: str, *, embeddings: bool = False) -> ExportAnswer:
        """All that is held on it."""
        return self._wire.ask(ExportAnswer, "GET", f"{self._of(subject_id)}/export", params={"embeddings": embeddings})

    # Faces.

    def enrol_faces(
        self, subject_id: str, photos: Sequence[Path | bytes], *, idempotency_key: str | None = None
    ) -> EnrolmentAnswer:
        """Enrol 1 to 20 photos. idempotency_key: a text of your own; sent again with it, nothing happens twice."""
        files = [
            ("images", (photo.name if isinstance(photo, Path) else "photo", photo_bytes(photo))) for photo in photos
        ]
        headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
        return self._wire.ask(EnrolmentAnswer, "POST", f"{self._of(subject_id)}/faces", files=files, headers=headers)

    def list_faces(self, subject_id: str) -> FacesAnswer:
        return self._wire.ask(FacesAnswer, "GET", f"{self._of(subject_id)}/faces")

    def forget_face(self, subject_id: str, template_id: str) -> ReceiptAnswer:
        """Erase one face for good; the Subject stays."""
        return self._wire.ask(ReceiptAnswer, "DELETE", self._wire.path(f"{self._of(subject_id)}/faces", template_id))

    def add_negative(self, subject_id: str, photo: Path | bytes) -> NegativeAnswer:
        """This is not that Subject."""
        files = {"image": ("photo", photo_bytes(photo))}
        return self._wire.ask(NegativeAnswer, "POST", f"{self._of(subject_id)}/negatives", files=files)

    def list_negatives(self, subject_id: str) -> NegativesAnswer:
        return self._wire.ask(NegativesAnswer, "GET", f"{self._of(subject_id)}/negatives")

    def drop_negative(self, subject_id: str, negative_id: str) -> DroppedAnswer:
        """It was that Subject after all."""
        path = self._wire.path(f"{self._of(subject_id)}/negatives", negative_id)
        return self._wire.ask(DroppedAnswer, "DELETE", path)

    def _identify(
        self,
        path: str,
        photo: Path | bytes,
        top_k: int,
        fpir: float | None,
        threshold: float | None,
        only_good: bool,
    ) -> IdentifyAnswer:
        return self._wire.ask(
            IdentifyAnswer,
            "POST",
            path,
            params={"top_k": top_k, "only_good": only_good},
            optional={"fpir": fpir, "threshold": threshold},
            files={"image": ("photo", photo_bytes(photo))},
        )

    def _of(self, subject_id: str) -> str:
        return self._wire.path(f"{self._prefix}/subjects", subject_id)


def photo_bytes(photo: Path | bytes) -> bytes:
    return photo if isinstance(photo, bytes) else photo.read_bytes()
