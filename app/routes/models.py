"""Which models are loaded, which of them answers, and the swap."""

from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Depends, File, Form, UploadFile

from app.envelope import problems
from app.errors import (
    GateRefused,
    ModelInUse,
    ModelNotLoaded,
    ModelsFull,
    NoPreviousModel,
    NotPermitted,
    PathRefused,
    ProbesMissing,
    RequestInvalid,
    RequestTooLarge,
    SwapInProgress,
    TrialUnknown,
)
from app.probes import Probe
from app.routes.examples import NO_COLLECTION
from app.routes.guarded import MOST_PHOTOS, Guarded, Photos, Slow, guarded_problems
from app.routes.parameters import bytes_of
from app.routes.service import Actor, CallerDep, Service, ServiceDep
from app.schemas import ActivateRequest, ModelName, ModelRequest, ModelsAnswer, ShadowRequest
from app.security import require
from app.trial import Floor
from app.verdicts import GateAnswer
from faces.errors import CacheUnavailable, CardInvalid, ModelUnknown, SpaceMismatch, WeightsMissing, WeightsUnreadable
from faces.models import model_names
from index.errors import GalleryUnavailable, NotCalibrated

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=Guarded, responses=guarded_problems())

_ADMIN: Final = Depends(require("admin", everywhere=True))  # a model answers for every collection
_SLOW: Final = Depends(Slow())
_FIELDS: Final = "See /docs for the fields and their ranges."
_MODEL_MISSING: Final = [{"where": "body.model", "problem": "Field required"}]
_IN_PROGRESS: Final = SwapInProgress(
    "another swap has not finished; the active model is", "f535793b94fc41e5", "Wait for it, and ask again."
)
_IN_USE: Final = ModelInUse("this model answers already", "f535793b94fc41e5", "Name the one that is to take over.")
_NO_PROBES: Final = ProbesMissing("photos to measure with", 0, "Send some; or serve with --probes FOLDER.")
_NO_TRIAL: Final = TrialUnknown(
    "no such trial of this model against the present one", "5b0c…", "Send the photos again, from the first."
)
_NOT_STORED: Final = GalleryUnavailable("database or disk is full", "people.heirloom", "Make room.")
_LOADING: Final = (
    RequestInvalid("the request is not valid", _MODEL_MISSING, _FIELDS),
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
    CacheUnavailable("the folder of rebuilt networks cannot be written (read-only)", "/c", "Set HEIRLOOM_CACHE."),
    WeightsUnreadable("does not open as an ONNX model", "/m/model.onnx", "Check the file."),
    NotCalibrated("no threshold for FPIR 0.01", "f535793b94fc41e5", "Enrol at least 300 Subjects."),
    _NOT_STORED,
)
"""Examples of what loading a model may end with."""
_FULL: Final = ModelsFull("no more models are loaded beside", ["d7d322daca1a13fd"], "Unload one of them first.")


@router.get("", dependencies=[Depends(require("identify", "admin"))])
def list_models(service: ServiceDep, caller: CallerDep) -> ModelsAnswer:
    """The model that answers, the one before it, those that are loaded beside, and the comparison in the shadow.

    `gate` is told to whoever has a key for the collection that it was measured in.
    """
    return ModelsAnswer.of(service.engine.changeover.state, sees=caller.may_search)


@router.post("/load", dependencies=[_ADMIN, _SLOW], responses=problems(*_LOADING, _FULL))
def load(request: ModelRequest, service: ServiceDep, actor: Actor) -> ModelsAnswer:
    """Have a model loaded beside the one that answers, with its thresholds. One that is loaded stays as it is."""
    return ModelsAnswer.of(service.engine.changeover.load(_reference(request.model, service), actor))


@router.post(
    "/gate",
    dependencies=[_ADMIN, _SLOW, Depends(Photos(MOST_PHOTOS))],
    responses=problems(*_LOADING, _FULL, _IN_USE, _NO_PROBES, _NO_TRIAL, NO_COLLECTION),
)
def gate(
    service: ServiceDep,
    actor: Actor,
    model: Annotated[ModelName, Form()],
    photos: Annotated[
        list[UploadFile] | None,
        File(description="Photos that no Template was made of, with file names `SUBJECT/NAME`. Those of people who are "
                         "not enrolled are non-mated probes; so are those of `_strangers`, each of somebody else."),
    ] = None,
    folder: Annotated[
        str | None,
        Form(min_length=1, max_length=4096, description="On a loopback server: a folder SUBJECT/NAME, as it sees it."),
    ] = None,
    floor: Annotated[str, Form(max_length=100, description="As `fnir=0.05,kept=0.9`; the service's where not named.")]
    = "",
    collection: Annotated[
        str | None, Form(min_length=1, max_length=500, description="Where both search; the default one if not named.")
    ] = None,
    trial: Annotated[str | None, Form(max_length=64, description="What the answer to earlier photos called it.")]
    = None,
    more: Annotated[bool, Form(description="More photos follow: nothing is decided yet.")] = False,
) -> GateAnswer:  # fmt: skip
    """Let a model and the active one search for the same labelled photos, each at its own threshold, and compare.

    Photos that do not fit into one request come in several, with `more`, and with the `trial` that the first is
    answered with. Without photos and folder, the probes that are stored at the service are taken. A verdict is an
    answer (200), whichever it is; a model that did not pass is activated by `force` alone. No photo is kept.
    """
    engine, changeover = service.engine, service.engine.changeover
    gallery = engine.gallery if collection is None else engine.collection(collection)
    name, wanted = _reference(model, service), _floor(floor, changeover.floor)
    if not photos and folder is None and trial is None:
        hearing, verdict = changeover.hear_stored(name, gallery, wanted, actor)
        return GateAnswer.given(hearing, verdict, complete=True)
    sent = [_probe(photo) for photo in photos or []]
    probes = _path(folder, service) if folder is not None and not sent else sent
    hearing, verdict = changeover.hear(name, gallery, probes, wanted, actor, trial=trial, more=more)
    return GateAnswer.given(hearing, verdict, complete=not more)


@router.post("/shadow", dependencies=[_ADMIN, _SLOW], responses=problems(*_LOADING, _FULL, _IN_USE))
def shadow(request: ShadowRequest, service: ServiceDep, actor: Actor) -> ModelsAnswer:
    """Let a model embed a share of live probes too; its answers are compared and counted, never returned or kept.

    What would delay a live answer is left out. Begun anew, it counts anew. It ends with share 0, and when either of the
    two models takes another place.
    """
    changeover = service.engine.changeover
    reference = _reference(request.model, service) if request.share else ""
    return ModelsAnswer.of(changeover.watch(reference, request.share, actor))


@router.post(
    "/activate",
    dependencies=[_ADMIN, _SLOW],
    responses=problems(
        *_LOADING,
        GateRefused(
            "the gate refuses this model in default (FNIR rises by 0.228, and may by 0.05)", "d7d322daca1a13fd", "…"
        ),
        _NO_PROBES,
        _FULL,
    ),
)
def activate(request: ActivateRequest, service: ServiceDep, actor: Actor) -> ModelsAnswer:
    """Load a model of the gallery's Space, compute its thresholds, store the choice, then let it answer.

    Requests in flight finish on the model they started with. When anything fails, the same model answers as before.
    """
    reference = _reference(request.model, service)
    return ModelsAnswer.of(service.engine.changeover.activate(reference, actor, force=request.force))


@router.post(
    "/rollback",
    dependencies=[_ADMIN],
    responses=problems(
        NoPreviousModel("no previous model is loaded beside", "f535793b94fc41e5", "Activate a model by its name."),
        _IN_PROGRESS,
        _NOT_STORED,
    ),
)
def roll_back(service: ServiceDep, actor: Actor) -> ModelsAnswer:
    """Exchange the active and the previous model. Nothing is loaded; asked twice, it ends where it began."""
    return ModelsAnswer.of(service.engine.changeover.roll_back(actor))


@router.post(
    "/unload",
    dependencies=[_ADMIN],
    responses=problems(
        RequestInvalid("the request is not valid", _MODEL_MISSING, _FIELDS),
        ModelNotLoaded("no such model is loaded", "d7d322daca1a13fd", "Loaded are f535793b94fc41e5."),
        ModelInUse("this model answers", "f535793b94fc41e5", "Activate another one first."),
        RequestTooLarge("bytes in the request", 31_457_280, "Send at most 21037056."),
        _IN_PROGRESS,
    ),
)
def unload(request: ModelRequest, service: ServiceDep, actor: Actor) -> ModelsAnswer:
    """Let go of a model that does not answer. Without the previous one there is no way back."""
    return ModelsAnswer.of(service.engine.changeover.unload(request.model, actor))


def _reference(model: str, service: Service) -> str:
    """MODEL, if it may be named so here. Raises PathRefused."""
    loaded = service.engine.switch.models.find(model) is not None
    if not loaded and not service.paths_allowed and model not in model_names():
        raise PathRefused(
            "no shipped Model, and a path is taken on loopback alone", model,
            f"Choose from {', '.join(model_names())}, or restart the service with another --model.",
        )  # fmt: skip
    return model


def _path(folder: str, service: Service) -> Path:
    if not service.paths_allowed:
        raise PathRefused("a folder is taken on loopback alone", folder, "Send the photos.")
    return Path(folder)


def _probe(photo: UploadFile) -> Probe:
    """`SUBJECT/NAME`; clients write a quotation mark in a file name as %22. Raises RequestInvalid."""
    filename = (photo.filename or "").replace("%22", '"')
    person, _, name = filename.rpartition("/")
    if not person or not name:
        raise RequestInvalid(
            "the request is not valid",
            [{"where": "body.photos", "problem": "a file name that is not SUBJECT/NAME"}], _FIELDS,
        )  # fmt: skip
    return Probe(person, filename, bytes_of(photo))


def _floor(text: str, default: Floor) -> Floor:
    try:
        return Floor.parse(text, default)
    except ValueError as error:
        raise RequestInvalid(
            "the request is not valid", [{"where": "body.floor", "problem": str(error)}], _FIELDS
        ) from None
