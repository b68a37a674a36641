"""What the service says beside the answer to a photo, whose shape is `index.answers`.

Fields may be added; none is renamed or removed.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from app.engine import Answered
from app.swap import Active, Models
from index.answers import ModelAnswer, PhotoAnswer, Schema, ThresholdAnswer


class IdentifyAnswer(PhotoAnswer):
    request_id: str
    timings_ms: Annotated[
        dict[str, float],
        Field(
            description="Milliseconds by stage: decode, detect, quality, align, embed, search (of a run that several "
            "requests share, all of it); and wait, for a turn at any of them."
        ),
    ]
    thresholds: Annotated[
        list[ThresholdAnswer],
        Field(
            description="What would decide at other FPIRs, the highest first; those that the gallery or the card can "
            "tell. Ask for one with `fpir`."
        ),
    ]

    @classmethod
    def answering(cls, answered: Answered, request_id: str) -> "IdentifyAnswer":
        photo = PhotoAnswer.of(answered.active.card, answered.found)
        timings = {stage: round(spent, 3) for stage, spent in answered.timings_ms.items()}
        thresholds = [ThresholdAnswer(**ThresholdAnswer.fields_of(each)) for each in answered.thresholds]
        return cls(request_id=request_id, timings_ms=timings, thresholds=thresholds, **dict(photo))


class LoadedModel(ModelAnswer):
    calibration: ThresholdAnswer

    @classmethod
    def loaded(cls, active: Active) -> "LoadedModel":
        answer = ModelAnswer.of(active.card)
        return cls(calibration=ThresholdAnswer(**ThresholdAnswer.fields_of(active.threshold)), **answer.model_dump())


class ModelsAnswer(Schema):
    active: Annotated[LoadedModel, Field(description="The model that answers from now on.")]
    previous: Annotated[
        LoadedModel | None, Field(description="The one before it, still loaded; null when there is none.")
    ]

    @classmethod
    def of(cls, models: Models) -> "ModelsAnswer":
        previous = None if models.previous is None else LoadedModel.loaded(models.previous)
        return cls(active=LoadedModel.loaded(models.active), previous=previous)


class ActivateRequest(Schema):
    """Which model is to answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [{"model": "small-dlib"}]})

    model: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4096,
            description="A shipped name or `dlib`; on a loopback server also `onnx:PATH` or the folder of a Model, "
            "as the server sees them.",
        ),
    ]


class StatusAnswer(Schema):
    status: Literal["ok"] = "ok"


class Problem(Schema):
    code: Annotated[str, Field(description="Stable, for programs.")]
    message: Annotated[str, Field(description="What, value and remedy, for people.")]
    details: dict[str, Any]


class ErrorAnswer(Schema):
    """Every error looks like this, whoever raised it."""

    error: Problem
    request_id: str
