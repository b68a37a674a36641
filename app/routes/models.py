"""Which model answers, and the swap."""

from typing import Final

from fastapi import APIRouter, Depends

from app.envelope import problems
from app.errors import NoPreviousModel, NotPermitted, PathRefused, RequestInvalid, RequestTooLarge, SwapInProgress
from app.routes.guarded import Guarded, guarded_problems
from app.routes.service import ServiceDep
from app.schemas import ActivateRequest, ModelsAnswer
from app.security import require
from faces.errors import CardInvalid, ModelUnknown, SpaceMismatch, WeightsMissing, WeightsUnreadable
from faces.models import model_names
from index.errors import GalleryUnavailable, NotCalibrated

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=Guarded, responses=guarded_problems())

_ADMIN: Final = Depends(require("admin"))
_MODEL_MISSING: Final = [{"where": "body.model", "problem": "Field required"}]
_IN_PROGRESS: Final = SwapInProgress(
    "another swap has not finished; the active model is", "f535793b94fc41e5", "Wait for it, and ask again."
)
_NOT_STORED: Final = GalleryUnavailable("database or disk is full", "people.heirloom", "Make room.")


@router.get("", dependencies=[Depends(require("identify", "admin"))])
def list_models(service: ServiceDep) -> ModelsAnswer:
    """The model that answers, the one before it, and their thresholds."""
    return ModelsAnswer.of(service.engine.switch.models)


@router.post(
    "/activate",
    dependencies=[_ADMIN],
    responses=problems(
        RequestInvalid("the request is not valid", _MODEL_MISSING, "See /docs for the fields and their ranges."),
        NotPermitted("this API key has not the scope", "admin", "Ask for another key: app keys create."),
        PathRefused(
            "no shipped Model, and a path is taken on loopback alone", "/m", "Choose from base-dlib, dlib, small-dlib."
        ),
        ModelUnknown("no such Model", "smal-dlib", "Choose from base-dlib, dlib, small-dlib."),
        SpaceMismatch("embeddings of another Space (field: found, expected)", {"dim": (512, 128)}, "Choose another."),
        _IN_PROGRESS,
        RequestTooLarge("bytes in the request", 31_457_280, "Send at most 21037056."),
        CardInvalid("model_id is 1c5e in the card, but 9f00 by the file", "/m/model.onnx", "Restore both."),
        WeightsMissing("a card without its model", "/m/model.onnx", "A Model is model.onnx and card.json."),
        WeightsUnreadable("does not open as an ONNX model", "/m/model.onnx", "Check the file."),
        NotCalibrated("no threshold for FPIR 0.01", "f535793b94fc41e5", "Enrol at least 300 Subjects."),
        _NOT_STORED,
    ),
)
def activate(request: ActivateRequest, service: ServiceDep) -> ModelsAnswer:
    """Load a model of the gallery's Space, compute its threshold, store the choice, then let it answer.

    Requests in flight finish on the model they started with. When anything fails, nothing has changed.
    """
    if not service.paths_allowed and request.model not in model_names():
        raise PathRefused(
            "no shipped Model, and a path is taken on loopback alone", request.model,
            f"Choose from {', '.join(model_names())}, or restart the service with another --model.",
        )  # fmt: skip
    return ModelsAnswer.of(service.engine.switch.activate(request.model))


@router.post(
    "/rollback",
    dependencies=[_ADMIN],
    responses=problems(
        NoPreviousModel("no previous model is loaded beside", "f535793b94fc41e5", "Activate a model by its name."),
        _IN_PROGRESS,
        _NOT_STORED,
    ),
)
def roll_back(service: ServiceDep) -> ModelsAnswer:
    """Exchange the active and the previous model. Nothing is loaded; asked twice, it ends where it began."""
    return ModelsAnswer.of(service.engine.switch.roll_back())
