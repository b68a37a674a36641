"""Errors of the service and of its client, under the project's one root.

FacesError
├── SettingsInvalid      an option or environment variable that cannot be used
├── CannotListen         the address is taken, or not this machine's
├── KeyNeeded            a service that others can reach, and not one key
├── ModelNotChosen       neither --model nor a model stored in the gallery
├── RequestInvalid       a field is missing, of another type, or out of its range
├── RequestTooLarge      the body is longer than the service reads
├── RequestTooSlow       the body does not arrive
├── KeyRequired          no API key in the request
├── NotPermitted         an API key without the scope, or not for the collection
├── RateLimited          more requests than this caller may make
├── HostRefused          a name in the header Host that is none of this service's
├── OriginRefused        a browser asks for a web page of another origin
├── RepeatRefused        the Idempotency-Key of a request with another content
├── RepeatTooEarly       the request with the same Idempotency-Key has not been answered yet
├── RouteUnknown         no such address
├── MethodRefused        the address is not for this method
├── PathRefused          a path as MODEL, over the network
├── CursorInvalid        a cursor of another list, or none of ours
├── FaceNotFound         a photo without a face, where one is meant
├── EnrolmentRefused     not one of the photos could be enrolled
├── CollectionNeeded     the default collection is not deleted
├── SwapInProgress       another swap has not finished
├── NoPreviousModel      nothing to go back to
├── GateRefused          the gate measured the model, and it must not take over
├── ModelInUse           the model answers, so it cannot be unloaded or compared with itself
├── ModelNotLoaded       no model of that id is loaded
├── ModelsFull           too many models are loaded
├── ProbesMissing        no photos to measure a model with
├── TrialUnknown         no such trial is under way
├── Overloaded           too many requests are waiting
├── DeadlinePassed       its turn did not come in time
├── ClientGone           nobody waits for the answer any more
├── NotReady             the service cannot answer now
├── WorkerLost           what computed the answer broke down
│   └── WorkerStuck      … or does not come to an end
├── InternalError        what nobody foresaw; the log says more
├── ServiceUnreachable   (client) nobody answers at the URL
└── ServiceRefused       (client) the service answered with an error
"""

from collections.abc import Mapping
from typing import Any

from faces.errors import FacesError


class SettingsInvalid(FacesError):
    code = "settings_invalid"


class CannotListen(FacesError):
    code = "cannot_listen"


class ModelNotChosen(FacesError):
    code = "model_not_chosen"


class RequestInvalid(FacesError):
    """`value` lists each problem: where it is (`query.top_k`) and what is wrong with it."""

    code = "invalid_request"

    @property
    def details(self) -> Mapping[str, Any]:
        return {"problems": self.value, "remedy": self.remedy}


class RequestTooLarge(FacesError):
    code = "request_too_large"


class RequestTooSlow(FacesError):
    code = "request_too_slow"


class KeyNeeded(FacesError):
    code = "key_needed"


class KeyRequired(FacesError):
    code = "key_required"


class NotPermitted(FacesError):
    code = "not_permitted"


class RateLimited(FacesError):
    """`value` is the seconds until the caller may come back."""

    code = "rate_limited"


class HostRefused(FacesError):
    code = "host_refused"


class OriginRefused(FacesError):
    code = "origin_refused"


class RepeatRefused(FacesError):
    code = "idempotency_key_reused"


class RepeatTooEarly(FacesError):
    code = "idempotency_in_flight"


class RouteUnknown(FacesError):
    code = "route_unknown"


class MethodRefused(FacesError):
    code = "method_not_allowed"


class PathRefused(FacesError):
    code = "path_refused"


class CursorInvalid(FacesError):
    code = "cursor_invalid"


class FaceNotFound(FacesError):
    """`value` is the name of the field with the photo."""

    code = "face_not_found"


class EnrolmentRefused(FacesError):
    """`value` lists the photos: `index`, `filename` and `reasons` of each."""

    code = "enrolment_refused"

    @property
    def details(self) -> Mapping[str, Any]:
        return {"rejected": self.value, "remedy": self.remedy}

    def __str__(self) -> str:
        """Without the photos, whose names may be people's: those are in the details."""
        return f"{self.what}. {self.remedy}"


class CollectionNeeded(FacesError):
    code = "collection_needed"


class SwapInProgress(FacesError):
    code = "swap_in_progress"


class NoPreviousModel(FacesError):
    code = "no_previous_model"


class GateRefused(FacesError):
    code = "gate_refused"


class ModelInUse(FacesError):
    code = "model_in_use"


class ModelNotLoaded(FacesError):
    code = "model_not_loaded"


class ModelsFull(FacesError):
    code = "models_full"


class ProbesMissing(FacesError):
    code = "probes_missing"


class TrialUnknown(FacesError):
    code = "trial_unknown"


class Overloaded(FacesError):
    code = "overloaded"


class DeadlinePassed(FacesError):
    code = "deadline_passed"


class ClientGone(FacesError):
    code = "client_gone"


class NotReady(FacesError):
    code = "not_ready"


class WorkerLost(FacesError):
    code = "worker_lost"


class WorkerStuck(WorkerLost):
    code = "worker_stuck"


class InternalError(FacesError):
    code = "internal_error"


class ServiceUnreachable(FacesError):
    code = "service_unreachable"


class ServiceRefused(FacesError):
    """An error that the service answered with: its `status`, its own code and details, its own sentence."""

    code = "service_refused"

    def __init__(
        self, what: str, value: object, remedy: str, *, status: int, error_code: str, error_details: Mapping[str, Any]
    ) -> None:
        super().__init__(what, value, remedy)
        self.status = status
        self.error_code = error_code
        self.error_details = error_details
