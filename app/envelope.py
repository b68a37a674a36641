"""Errors as HTTP: which class is which status, and the one shape they all have."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_jsonable_python
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from app.errors import (
    ClientGone,
    CollectionNeeded,
    CursorInvalid,
    DeadlinePassed,
    EnrolmentRefused,
    FaceNotFound,
    GateRefused,
    HostRefused,
    InternalError,
    KeyRequired,
    MethodRefused,
    ModelInUse,
    ModelNotLoaded,
    ModelsFull,
    NoPreviousModel,
    NotPermitted,
    NotReady,
    OriginRefused,
    Overloaded,
    PathRefused,
    ProbesMissing,
    RateLimited,
    RepeatRefused,
    RepeatTooEarly,
    RequestInvalid,
    RequestTooLarge,
    RequestTooSlow,
    RouteUnknown,
    SwapInProgress,
    TrialUnknown,
    WorkerLost,
)
from app.logs import log_event
from app.metrics import ERROR
from app.schemas import ErrorAnswer, Problem
from app.security import SCHEMES
from faces.errors import (
    CacheUnavailable,
    CardInvalid,
    DeviceUnavailable,
    FacesError,
    ImageRefused,
    ImageTooLarge,
    ImageTypeRefused,
    ModelUnknown,
    SpaceMismatch,
    WeightsMissing,
    WeightsUnreadable,
)
from index.errors import (
    AccessRefused,
    AuditInvalid,
    CollectionExists,
    CollectionInvalid,
    CollectionUnknown,
    GalleryError,
    MergeImpossible,
    MergeUnknown,
    NegativeUnknown,
    NotCalibrated,
    ProbesInvalid,
    SubjectExists,
    SubjectInvalid,
    SubjectUnknown,
    TemplateUnknown,
)

STATUS: Final[Mapping[type[FacesError], int]] = MappingProxyType(
    {
        RequestInvalid: 400,
        CursorInvalid: 400,
        KeyRequired: 401,
        AccessRefused: 401,
        NotPermitted: 403,
        OriginRefused: 403,
        PathRefused: 403,
        ModelNotLoaded: 404,
        ModelUnknown: 404,
        CollectionUnknown: 404,
        SubjectUnknown: 404,
        TemplateUnknown: 404,
        NegativeUnknown: 404,
        MergeUnknown: 404,
        RouteUnknown: 404,
        TrialUnknown: 404,
        MethodRefused: 405,
        RequestTooSlow: 408,
        GateRefused: 409,
        ModelInUse: 409,
        ModelsFull: 409,
        RepeatTooEarly: 409,
        CollectionExists: 409,
        CollectionNeeded: 409,
        SubjectExists: 409,
        MergeImpossible: 409,
        SpaceMismatch: 409,
        SwapInProgress: 409,
        NoPreviousModel: 409,
        ImageTooLarge: 413,
        RequestTooLarge: 413,
        ImageTypeRefused: 415,
        HostRefused: 421,
        ImageRefused: 422,
        FaceNotFound: 422,
        EnrolmentRefused: 422,
        CollectionInvalid: 422,
        SubjectInvalid: 422,
        ProbesInvalid: 422,
        AuditInvalid: 422,
        CardInvalid: 422,
        NotCalibrated: 422,
        ProbesMissing: 422,
        RepeatRefused: 422,
        WeightsMissing: 422,
        WeightsUnreadable: 422,
        RateLimited: 429,
        ClientGone: 499,
        DeadlinePassed: 503,
        CacheUnavailable: 503,
        DeviceUnavailable: 503,
        GalleryError: 503,
        NotReady: 503,
        Overloaded: 503,
        WorkerLost: 503,
    }
)
"""The class itself or its nearest base; what is not here is the server's own trouble: 500."""

_LOG: Final = logging.getLogger(__name__)
_HEADERS: Final[Mapping[int, Callable[[FacesError], Mapping[str, str]]]] = MappingProxyType(
    {
        401: lambda _: {"www-authenticate": 'Bearer realm="heirloom"'},
        408: lambda _: {"connection": "close"},  # what else the caller has to say is not waited for
        429: lambda error: {"retry-after": str(error.value)},
        503: lambda _: {"retry-after": "1"},
    }
)
_EXAMPLE_ID: Final = "3f2b8c0d9e1a4b5c8d7e6f5a4b3c2d1e"


class _Refusal(JSONResponse):
    """Leaves its code in the request's state, for whoever counts."""

    def __init__(self, code: str, content: Any, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(content, status, headers)
        self._code = code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][ERROR] = self._code
        await super().__call__(scope, receive, send)


def status_of(error: FacesError) -> int:
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def codes() -> set[str]:
    """All that an answer may have: of each class of the table, of those below it, and of what nobody foresaw."""
    kinds: list[type[FacesError]] = [InternalError, *STATUS]
    for kind in kinds:  # grows meanwhile
        kinds += kind.__subclasses__()
    return {kind.code for kind in kinds}


def for_callers(error: FacesError) -> FacesError:
    """The same, but that the name of a file is all that is told of where it lies: the log has the rest."""
    if isinstance(error, GalleryError) and isinstance(error.value, str):
        return type(error)(error.what, PurePath(error.value).name, error.remedy)
    return error


def error_answer(error: FacesError, request_id: str) -> ErrorAnswer:
    error = for_callers(error)
    details = to_jsonable_python(dict(error.details), fallback=str, inf_nan_mode="strings")
    return ErrorAnswer(error=Problem(code=error.code, message=str(error), details=details), request_id=request_id)


def error_response(error: FacesError, request_id: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The envelope, as `worded` sends it."""
    return worded(error, request_id, error_answer(error, request_id).model_dump(), status_of(error), headers)


def worded(
    error: FacesError, request_id: str, content: Any, status: int, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error in these words, with the headers that belong to its status: a 503, say, tells when to come back.

    It is counted, and logged where it is the service's own trouble.
    """
    if status >= 500 and not isinstance(error, InternalError):  # that one was logged with all that is known
        log_event(_LOG, logging.WARNING, str(error), request_id=request_id, code=error.code)
    belonging = _HEADERS[status](error) if status in _HEADERS else {}
    return _Refusal(error.code, content, status, {**belonging, **(headers or {})})


def handle_errors(app: FastAPI) -> None:
    """Answer every error that a route, the router or the framework raises in the envelope."""
    app.add_exception_handler(FacesError, _on_faces_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)


def correct_document(app: FastAPI) -> None:
    """Leave out of the OpenAPI document what FastAPI says of requests that it refuses: 422, in a shape of its own.

    Here they are 400, in the envelope. What FastAPI does not see is how keys are sent: that is added.
    """
    as_fastapi_has_it = app.openapi

    def document() -> dict[str, Any]:
        found = as_fastapi_has_it()
        for methods in found["paths"].values():
            for operation in methods.values():
                if "HTTPValidationError" in str(operation["responses"].get("422")):
                    del operation["responses"]["422"]
        for name in ("HTTPValidationError", "ValidationError"):
            found.get("components", {}).get("schemas", {}).pop(name, None)
        found["components"]["securitySchemes"] = {name: dict(scheme) for name, scheme in SCHEMES.items()}
        return found

    app.openapi = document  # type: ignore[method-assign]


def _on_faces_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FacesError)  # noqa: S101 - registered for this class
    return error_response(error, request.state.request_id)


def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return error_response(_invalid(error.errors()), request.state.request_id)


def _on_http_error(request: Request, error: Exception) -> Response:
    """What the router refuses, and what the framework wraps: an error of ours within stays ours."""
    assert isinstance(error, HTTPException)  # noqa: S101
    request_id = request.state.request_id
    if isinstance(error.__cause__, FacesError):
        return error_response(error.__cause__, request_id)
    if error.status_code == 404:
        return error_response(RouteUnknown("no such address", request.url.path, "See /docs."), request_id)
    if error.status_code == 405:
        allowed = Headers(error.headers).get("allow")
        refusal = MethodRefused(f"{request.url.path} is not for", request.method, f"It is for {allowed}.")
        return error_response(refusal, request_id, error.headers)
    return error_response(_invalid([{"loc": ("body",), "msg": str(error.detail)}]), request_id)


def _invalid(problems: Sequence[Mapping[str, Any]]) -> RequestInvalid:
    """Where and what, without the value: it may be a photo."""
    listed = [{"where": ".".join(map(str, problem["loc"])), "problem": problem["msg"]} for problem in problems]
    return RequestInvalid("the request is not valid", listed, "See /docs for the fields and their ranges.")


def problems(*errors: FacesError) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` for a route that may answer with errors like these, each shown as an example."""
    answers: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        empty: dict[str, Any] = {"model": ErrorAnswer, "content": {"application/json": {"examples": {}}}}
        answer = answers.setdefault(status_of(error), empty)
        examples = answer["content"]["application/json"]["examples"]
        examples[error.code] = {"value": error_answer(error, _EXAMPLE_ID).model_dump()}
        answer["description"] = ", ".join(f"`{code}`" for code in examples)
    return answers
