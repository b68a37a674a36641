"""What is said of photos alone: found faces, embeddings, and whether two are one person."""

from typing import Annotated

from pydantic import Field

from app.view import OneFace
from index.answers import BoxAnswer, ImageAnswer, ModelAnswer, QualityAnswer, Schema, Score, ThresholdAnswer
from index.identify import Looked
from index.threshold import Threshold, spoken_against


class DetectedFace(Schema):
    box: Annotated[BoxAnswer, Field(description="Pixels, within the photo.")]
    score: Annotated[float, Field(description="The detector's, 0 to 1.")]
    landmarks: Annotated[
        list[tuple[float, float]], Field(description="Left eye, right eye, nose, left and right mouth corner.")
    ]
    quality: QualityAnswer

    @classmethod
    def all_of(cls, looked: Looked) -> "list[DetectedFace]":
        return [
            cls(
                box=box_of(face.box),
                score=face.score,
                landmarks=[(float(x), float(y)) for x, y in face.landmarks],
                quality=QualityAnswer(ok=quality.ok, reasons=list(quality.reasons)),
            )
            for face, quality in zip(looked.faces, looked.qualities, strict=True)
        ]


class DetectAnswer(Schema):
    request_id: str
    image: ImageAnswer
    faces: Annotated[list[DetectedFace], Field(description="The detector's best first; empty when there is none.")]


class EmbeddedFace(DetectedFace):
    embedding: Annotated[list[float], Field(description="Of unit length; comparable within `model.space_id` alone.")]


class EmbedAnswer(Schema):
    request_id: str
    model: ModelAnswer
    image: ImageAnswer
    faces: list[EmbeddedFace]


class VerifiedFace(Schema):
    box: BoxAnswer
    score: Annotated[float, Field(description="The detector's, 0 to 1.")]
    quality: QualityAnswer

    @classmethod
    def of(cls, face: OneFace) -> "VerifiedFace":
        return cls(
            box=box_of(face.face.box),
            score=face.face.score,
            quality=QualityAnswer(ok=face.quality.ok, reasons=list(face.quality.reasons)),
        )


class VerifyDecision(ThresholdAnswer):
    match: Annotated[bool, Field(description="One person, at this threshold.")]


class VerifyAnswer(Schema):
    request_id: str
    model: ModelAnswer
    face: Annotated[VerifiedFace, Field(description="The face that `image` is of.")]
    other: Annotated[VerifiedFace | None, Field(description="The one that `reference` is of; null for a Subject.")]
    subject_id: Annotated[str | None, Field(description="Whom the face was compared with; null for a photo.")]
    template_id: Annotated[str | None, Field(description="The Subject's Template that is nearest; null for a photo.")]
    score: Score
    decision: VerifyDecision


def verdict(score: float, threshold: Threshold, negative: float | None = None) -> VerifyDecision:
    """As `index.threshold.decide`, of one."""
    match = score >= threshold.value and not spoken_against(score, negative)
    return VerifyDecision(match=match, **ThresholdAnswer.fields_of(threshold))


def box_of(box: tuple[float, float, float, float]) -> BoxAnswer:
    x_min, y_min, x_max, y_max = box
    return BoxAnswer(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)
