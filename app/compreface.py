"""What a CompreFace server of version 1.2 says, so that its clients find their way: names, numbers and errors.

Source: docs/Rest-API-description.md and CommonExceptionCode of exadel-inc/CompreFace. Where we cannot say what it says:

- *similarity* there is a rescaled distance of which 0.5 parts the same from others. Here 0.5 is the threshold at which
  the service decides, and cosines to either side of it are drawn out evenly: see `similarity`.
- an *image* there is a stored photo. Here its id is that of a Template; there is no photo to download.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from app.envelope import for_callers, status_of, worded
from app.errors import EnrolmentRefused, FaceNotFound, InternalError, KeyRequired, RequestInvalid
from faces.detect import Face
from faces.errors import FacesError, ImageRefused
from index.errors import (
    AccessRefused,
    MergeImpossible,
    ProbesInvalid,
    SubjectExists,
    SubjectInvalid,
    SubjectUnknown,
    TemplateUnknown,
)
from index.gallery import Candidate
from index.threshold import spoken_against

CODES: Final[Mapping[type[FacesError], tuple[int, int]]] = MappingProxyType(
    {
        AccessRefused: (404, 10),
        TemplateUnknown: (404, 11),
        KeyRequired: (400, 20),
        ImageRefused: (400, 21),
        RequestInvalid: (400, 26),
        SubjectInvalid: (400, 26),
        MergeImpossible: (400, 26),
        FaceNotFound: (400, 28),
        ProbesInvalid: (400, 37),
        SubjectUnknown: (404, 42),
        SubjectExists: (400, 43),
    }
)
"""Status and code of an error, by its class or the nearest base; all others: our status, and 0."""

_REASONS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "no_face": 28,
        "several_faces": 31,
        "image_type_refused": 21,
        "image_unreadable": 21,
        "image_too_large": 21,
    }
)
"""Why a photo was not enrolled."""

PLUGINS: Final = frozenset({"landmarks", "calculator"})


def similarity(score: float, threshold: float) -> float:
    """0 to 1 for a cosine: 0.5 at the threshold, linear on both sides, so that order is kept; 1 for the same photo."""
    if score >= threshold:
        return 1.0 if threshold >= 1 else 0.5 + 0.5 * min(1.0, (score - threshold) / (1 - threshold))
    return 0.5 * max(0.0, (score + 1) / (threshold + 1))


def subjects_of(found: Sequence[Candidate], threshold: float, count: int) -> list[dict[str, Any]]:
    """The best of a face, but those that a negative example speaks against."""
    kept = [one for one in found if not spoken_against(one.score, one.negative)]
    return [{"subject": one.subject_id, "similarity": similarity(one.score, threshold)} for one in kept[:count]]


def box(face: Face) -> dict[str, float | int]:
    x_min, y_min, x_max, y_max = (round(edge) for edge in face.box)
    return {"probability": face.score, "x_min": x_min, "y_min": y_min, "x_max": x_max, "y_max": y_max}


def landmarks(face: Face) -> list[list[int]]:
    return [[round(float(x)), round(float(y))] for x, y in face.landmarks]


def plugins_of(names: str) -> set[str]:
    """Which of ours were asked for. Raises RequestInvalid for those of CompreFace that there are not here."""
    wanted = {name.strip() for name in names.split(",")} - {""}
    if wanted - PLUGINS:
        raise refusal("face_plugins", f"not supported: {', '.join(sorted(wanted - PLUGINS))}")
    return wanted


def photo_of(text: object, field: str) -> bytes:
    """The bytes of a photo in JSON. Raises RequestInvalid."""
    try:
        if isinstance(text, str):
            return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise refusal(field, "not a photo in base64")


def refusal(where: str, problem: str) -> RequestInvalid:
    remedy = "See docs/api.md for what there is of CompreFace."
    return RequestInvalid("the request is not valid", [{"where": where, "problem": problem}], remedy)


def spoken(error: Exception, request_id: str) -> JSONResponse:
    """An error of ours, of the validation or of the framework, as CompreFace words it."""
    ours = _ours(error)
    status, code, message = _worded(ours)
    if isinstance(error, RequestValidationError) and error.errors()[0]["type"] == "missing":
        code = 34 if error.errors()[0]["loc"][0] == "body" else 33
    return worded(ours, request_id, {"message": message, "code": code}, status)


def _ours(error: Exception) -> FacesError:
    """What the framework says, as an error of ours; one of ours that it wraps stays what it is."""
    if isinstance(error, HTTPException):
        error = error.__cause__ if isinstance(error.__cause__, FacesError) else refusal("body", str(error.detail))
    if isinstance(error, RequestValidationError):
        (first, *_) = error.errors()
        return refusal(".".join(map(str, first["loc"])), first["msg"])
    if isinstance(error, FacesError):
        return error
    raise InternalError("not an error of the service", type(error).__name__, "See its log.") from error


def _worded(error: FacesError) -> tuple[int, int, str]:
    """Status, code and message."""
    if isinstance(error, EnrolmentRefused):
        reasons = [reason for photo in error.value for reason in photo["reasons"]]  # type: ignore[attr-defined]
        code = next((_REASONS[reason] for reason in reasons if reason in _REASONS), 26)
        return 400, code, f"The photo cannot be enrolled: {', '.join(reasons)}"
    if isinstance(error, RequestInvalid):
        told = [f"{each['where']}: {each['problem']}" for each in error.value]  # type: ignore[attr-defined]
        return 400, 26, "; ".join(told)
    status, code = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), (status_of(error), 0))
    return status, code, str(for_callers(error))
