"""Which model answers, and the swap."""

from typing import Final

from fastapi import APIRouter

from app.envelope import problems
from app.errors import PathRefused
from app.routes.service import ServiceDep
from app.schemas import ActivateRequest, ModelsAnswer
from faces.models import model_names

router = APIRouter(prefix="/v1/models", tags=["models"])

_IN_PROGRESS: Final = (409, "another swap has not finished; the active model is: 'f535793b94fc41e5'. Wait for it.")


@router.get("")
def list_models(service: ServiceDep) -> ModelsAnswer:
    """The model that answers, the one before it, and their thresholds."""
    return ModelsAnswer.of(service.engine.switch.models)


@router.post(
    "/activate",
    responses=problems(
        invalid_request=(400, "the request is not valid: [{'where': 'body.model', …}]. See /docs."),
        path_refused=(403, "a path is taken on loopback alone: 'onnx:/models/face.onnx'. Choose from dlib."),
        model_unknown=(404, "no such Model: 'smal-dlib'. Choose from dlib, small-dlib."),
        space_mismatch=(409, "embeddings of another Space (field: found, expected): {'dim': (512, 128)}."),
        swap_in_progress=_IN_PROGRESS,
        request_too_large=(413, "bytes in the request: 31457280. Send at most 21037056."),
        card_invalid=(422, "model_id is 1c5e in the card, but 9f00 by the file."),
        weights_missing=(422, "a card without its model."),
        weights_unreadable=(422, "does not open as an ONNX model."),
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
    responses=problems(
        no_previous_model=(409, "no previous model is loaded beside: 'f535793b94fc41e5'. Activate one by its name."),
        swap_in_progress=_IN_PROGRESS,
    ),
)
def roll_back(service: ServiceDep) -> ModelsAnswer:
    """Exchange the active and the previous model. Nothing is loaded; asked twice, it ends where it began."""
    return ModelsAnswer.of(service.engine.switch.roll_back())
