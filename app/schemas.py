"""What the service says beside the answer to a photo, whose shape is `index.answers`.

Fields may be added; none is renamed or removed.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictBool

from app.changeover import State
from app.engine import Answered
from app.gatekeeper import Verdict
from app.shadow import Watch
from app.swap import Active
from app.verdicts import ShadowAnswer, VerdictAnswer
from index.answers import ModelAnswer, PhotoAnswer, Schema, ThresholdAnswer
from index.threshold import Threshold


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


ModelState = Literal["loaded", "gated", "refused", "shadow", "active", "previous"]


class LoadedModel(ModelAnswer):
    state: Annotated[
        ModelState,
        Field(description="How far it has come. Of one that was measured and does neither: `gated` or `refused`."),
    ]
    calibration: Annotated[ThresholdAnswer, Field(description="The threshold that decides.")]
    thresholds: Annotated[
        list[ThresholdAnswer], Field(description="Thresholds at several FPIRs, those that could be calibrated.")
    ]
    gate: Annotated[VerdictAnswer | None, Field(description="What the gate measured; null: it did not yet.")]

    @classmethod
    def loaded(cls, active: Active, state: ModelState, verdict: Verdict | None) -> "LoadedModel":
        now = active.now()
        return cls(
            state=state,
            calibration=_threshold(now.threshold),
            thresholds=[_threshold(threshold) for threshold in now.several],
            gate=None if verdict is None else VerdictAnswer.said(verdict),
            **ModelAnswer.of(active.card).model_dump(),
        )


class ModelsAnswer(Schema):
    active: Annotated[LoadedModel, Field(description="The model that answers from now on.")]
    previous: Annotated[
        LoadedModel | None, Field(description="The one before it, still loaded; null when there is none.")
    ]
    loaded: Annotated[list[LoadedModel], Field(description="Models that are loaded beside these two.")]
    shadow: Annotated[ShadowAnswer | None, Field(description="The comparison under way, or the last one.")]
    stored_probes: Annotated[bool, Field(description="The service measures a model by itself before it takes over.")]

    @classmethod
    def of(cls, state: State, *, sees: Callable[[str], bool] = lambda _: True) -> "ModelsAnswer":
        """sees: whether what was measured in this collection may be told."""
        models, watch = state.models, state.watch

        def said(model: Active, place: ModelState | None) -> LoadedModel:
            verdict = state.verdicts.get(model.card.model_id)
            seen = verdict is not None and sees(verdict.collection)
            return LoadedModel.loaded(model, place or _state(model, watch, verdict), verdict if seen else None)

        return cls(
            active=said(models.active, "active"),
            previous=None if models.previous is None else said(models.previous, "previous"),
            loaded=[said(model, None) for model in models.candidates],
            shadow=None if watch is None else ShadowAnswer.said(watch),
            stored_probes=state.stored_probes,
        )


def _state(model: Active, watch: Watch | None, verdict: Verdict | None) -> ModelState:
    """Of a model that neither answers nor did before."""
    if watch is not None and watch.running and watch.candidate.model_id == model.card.model_id:
        return "shadow"
    return "loaded" if verdict is None else "gated" if verdict.passed else "refused"


def _threshold(threshold: Threshold) -> ThresholdAnswer:
    return ThresholdAnswer(**ThresholdAnswer.fields_of(threshold))


ModelName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4096,
        description="A shipped name or `dlib`, or the `model_id` of a model that is loaded; on a loopback server also "
        "`onnx:PATH` or the folder of a Model, as the server sees them.",
    ),
]


class ModelRequest(Schema):
    """Which model is meant."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [{"model": "small-dlib"}]})

    model: ModelName


class ActivateRequest(ModelRequest):
    """Which model is to answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [{"model": "small-dlib"}]})

    force: Annotated[StrictBool, Field(description="Whatever the gate says; this is recorded.")] = False


class ShadowRequest(ModelRequest):
    """Which model is to be compared, and on how much."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"model": "small-dlib", "share": 0.1}]}
    )

    share: Annotated[float, Field(ge=0, le=1, description="Of live requests; 0 ends the comparison.")]


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
