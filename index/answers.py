"""The shape of an answer to one photo, on the wire and in `index search --json`.

Fields may be added; none is renamed or removed.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from faces.space import ModelCard
from index.gallery import GalleryStats
from index.identify import FoundFace, Identified
from index.threshold import Source, Threshold

Score = Annotated[float, Field(description="Cosine, higher is nearer; never a percentage.")]


class Schema(BaseModel):
    model_config = ConfigDict(frozen=True)


class ModelAnswer(Schema):
    model_id: Annotated[str, Field(description="First 16 hex digits of the SHA-256 of the model's ONNX file.")]
    space_id: Annotated[str, Field(description="Names the Space: embeddings are comparable within one alone.")]
    name: str
    role: Literal["teacher", "student"]

    @classmethod
    def of(cls, card: ModelCard) -> "ModelAnswer":
        return cls(model_id=card.model_id, space_id=card.space_id, name=card.name, role=card.role)


class GalleryAnswer(Schema):
    subjects: int
    templates: int
    version: Annotated[int, Field(description="Grows with every change of the gallery.")]

    @classmethod
    def of(cls, stats: GalleryStats) -> "GalleryAnswer":
        return cls(subjects=stats.subjects, templates=stats.templates, version=stats.version)


class ImageAnswer(Schema):
    width: Annotated[int, Field(description="Pixels, after the EXIF orientation was applied.")]
    height: int


class BoxAnswer(Schema):
    x_min: float
    y_min: float
    x_max: float
    y_max: float


class QualityAnswer(Schema):
    ok: bool
    reasons: Annotated[list[str], Field(description="Why the face is a poor one; empty when ok.")]


class CandidateAnswer(Schema):
    subject_id: str
    name: str
    score: Score
    template_id: str


class ThresholdAnswer(Schema):
    threshold: Score
    fpir: Annotated[
        float | None,
        Field(description="The share of non-enrolled faces answered with somebody; null when a user chose the value."),
    ]
    calibrated_on: Annotated[
        Source,
        Field(
            description="Estimated from this gallery, or from probes that it was calibrated with; while there are too "
            "few of both, measured by the card; or chosen by whoever started the service."
        ),
    ]
    subjects: Annotated[int, Field(description="The number of Subjects that the threshold stands for.")]
    date: str
    model_id: Annotated[str, Field(description="The model that the threshold belongs to.")]
    low: Annotated[float | None, Field(description="Lower end of the threshold's 95 % interval; null: not known.")]
    high: Annotated[float | None, Field(description="Upper end of it.")]
    trials: Annotated[int | None, Field(description="The number of people it was estimated from; null: see the card.")]
    extrapolated: Annotated[
        bool, Field(description="These people are too few to show this FPIR; the tail of their scores was continued.")
    ]

    @staticmethod
    def fields_of(threshold: Threshold) -> dict[str, Any]:
        return {
            "threshold": threshold.value,
            "fpir": threshold.fpir,
            "calibrated_on": threshold.calibrated_on,
            "subjects": threshold.subjects,
            "date": threshold.date,
            "model_id": threshold.model_id,
            "low": threshold.low,
            "high": threshold.high,
            "trials": threshold.trials,
            "extrapolated": threshold.extrapolated,
        }


class DecisionAnswer(ThresholdAnswer):
    subject_id: Annotated[str | None, Field(description="The Subject, or null: unknown.")]


class FaceAnswer(Schema):
    box: Annotated[BoxAnswer, Field(description="Pixels, within the photo.")]
    score: Annotated[float, Field(description="The detector's, 0 to 1.")]
    landmarks: Annotated[
        list[tuple[float, float]], Field(description="Left eye, right eye, nose, left and right mouth corner.")
    ]
    quality: QualityAnswer
    candidates: Annotated[list[CandidateAnswer], Field(description="Best first; a Subject appears once.")]
    decision: DecisionAnswer
    not_searched: Annotated[
        list[str],
        Field(
            description="Why nobody was looked for: the reasons of `quality`, where only good faces were to be "
            "searched, or `too_many_faces`; empty when somebody was."
        ),
    ]

    @classmethod
    def of(cls, found: FoundFace) -> "FaceAnswer":
        x_min, y_min, x_max, y_max = found.face.box
        return cls(
            box=BoxAnswer(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max),
            score=found.face.score,
            landmarks=[(float(x), float(y)) for x, y in found.face.landmarks],
            quality=QualityAnswer(ok=found.quality.ok, reasons=list(found.quality.reasons)),
            candidates=[
                CandidateAnswer(
                    subject_id=candidate.subject_id,
                    name=candidate.name,
                    score=candidate.score,
                    template_id=str(candidate.template_id),
                )
                for candidate in found.candidates
            ],
            decision=DecisionAnswer(
                subject_id=found.decision.subject_id, **ThresholdAnswer.fields_of(found.decision.threshold)
            ),
            not_searched=list(found.not_searched),
        )


class PhotoAnswer(Schema):
    model: Annotated[ModelAnswer, Field(description="The model that gave this answer.")]
    gallery: GalleryAnswer
    image: ImageAnswer
    faces: Annotated[list[FaceAnswer], Field(description="Every face, the detector's best first; empty when none.")]

    @classmethod
    def of(cls, card: ModelCard, found: Identified) -> "PhotoAnswer":
        return cls(
            model=ModelAnswer.of(card),
            gallery=GalleryAnswer.of(found.gallery),
            image=ImageAnswer(width=found.width, height=found.height),
            faces=[FaceAnswer.of(face) for face in found.faces],
        )
