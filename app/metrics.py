"""What the service counts of itself, as Prometheus reads it: GET /metrics.

A label holds the name of a route, a stage, a code of ours or the id of a model, and never what a caller sent: the
number of series is bounded, and nobody's id is among them. The state of things (models, gallery, what waits) is not
counted but looked at whenever somebody asks: it cannot disagree with the service.
"""

import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from index.identify import FoundFace, Identified

ERROR: Final = "error_code"
"""In a request's state: the code of the error that it was answered with."""

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_STAGE_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_ITEMS: Final = (1, 2, 4, 8, 16, 32, 64)
_FACES: Final = (0, 1, 2, 4, 8, 16)
_SCORES: Final = tuple(round(-0.2 + step * 0.05, 2) for step in range(25))  # cosines, -0.2 to 1
_MARGINS: Final = (-0.8, -0.6, -0.4, -0.3, -0.2, -0.15, -0.1, -0.05, 0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_MOST_MODELS: Final = 16  # that have series of their own; those after them share one
_OTHER: Final = "other"


class Meters:
    """The counts of one service. For any number of threads."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry(auto_describe=True)
        self._models: set[str] = set()
        ProcessCollector(registry=self.registry)
        Info("heirloom_build", "What runs", registry=self.registry).info(
            {"version": importlib.metadata.version("heirloom"), "python": platform.python_version()}
        )
        self._requests = self._counter("http_requests", "Requests answered", "method", "route", "status")
        self._request_seconds = self._histogram(
            "http_request_seconds", "From the first byte of a request to the last of its answer", _SECONDS, "route"
        )
        self._in_flight = Gauge("heirloom_http_requests_in_flight", "Requests begun", registry=self.registry)
        self._errors = self._counter("errors", "Requests answered with an error, by its code", "code")
        self._stages = self._histogram(
            "stage_seconds", "One photo at one stage; wait: for its turn at any of them", _STAGE_SECONDS, "stage"
        )
        self._batches = self._histogram("batch_items", "Items of one run", _ITEMS, "stage")
        self._photo_faces = self._histogram("photo_faces", "Faces of a photo", _FACES)
        self._decisions = self._counter("decisions", "Faces decided on", "model_id", "decision")
        self._scores = self._histogram("best_score", "Cosine of a face's best Candidate", _SCORES, "model_id")
        self._margins = self._histogram(
            "score_margin", "That cosine less the threshold it was decided by", _MARGINS, "model_id"
        )

    def expect(self, codes: Iterable[str]) -> None:
        """Errors that may come. A rate does not see the first of a series that was not there before."""
        for code in codes:
            self._errors.labels(code)

    def answered(self, model_id: str, laps: Mapping[str, float], found: Identified) -> None:
        """A photo was answered by this model. laps: milliseconds by stage."""
        for stage, spent in laps.items():
            self.stage(stage, spent / 1000)
        self._photo_faces.observe(len(found.faces))
        for face in found.faces:
            self.decision(model_id, face)

    def stage(self, name: str, seconds: float) -> None:
        """One photo has passed this stage."""
        self._stages.labels(name).observe(seconds)

    def batch(self, stage: str, items: int, _seconds: float = 0.0) -> None:
        """A run of this stage has ended well; a `workers.Ran`."""
        self._batches.labels(stage).observe(items)

    def decision(self, model_id: str, face: FoundFace) -> None:
        """A face was decided on by this model."""
        model = self._bounded(model_id)
        self._decisions.labels(model, "unknown" if face.decision.subject_id is None else "match").inc()
        if face.candidates:
            best = face.candidates[0].score
            self._scores.labels(model).observe(best)
            self._margins.labels(model).observe(best - face.decision.threshold.value)

    def begun(self) -> None:
        """A request has come in; `ended` follows."""
        self._in_flight.inc()

    def ended(self, method: str, route: str | None, status: int, seconds: float, error: str | None) -> None:
        """A request has been answered. route: as the API writes it; None: no address of it. status 0: nobody waited."""
        self._in_flight.dec()
        address = route or _OTHER
        self._requests.labels(method if method in _METHODS else _OTHER, address, str(status)).inc()
        self._request_seconds.labels(address).observe(seconds)
        if error is not None:
            self._errors.labels(error).inc()

    def look_at(self, state: Callable[[], Iterator[Metric]]) -> None:
        """Ask for the state of something each time that the counts are asked for."""
        self.registry.register(_Looked(state))

    def text(self) -> bytes:
        """All of it, in the text format of Prometheus 0.0.4."""
        return generate_latest(_WithoutBeginnings(self.registry))

    def _bounded(self, model_id: str) -> str:
        if len(self._models) < _MOST_MODELS:
            self._models.add(model_id)
        return model_id if model_id in self._models else _OTHER

    def _counter(self, name: str, said: str, *labels: str) -> Counter:
        return Counter(f"heirloom_{name}", said, labels, registry=self.registry)

    def _histogram(self, name: str, said: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"heirloom_{name}", said, labels, buckets=buckets, registry=self.registry)


class _WithoutBeginnings:
    """A registry whose counts do not say when they began: Prometheus would take that for series of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class _Looked:
    """A collector of prometheus_client."""

    def __init__(self, state: Callable[[], Iterator[Metric]]) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        return self._state()

    def describe(self) -> Iterator[Metric]:
        """Nothing yet: what is looked at may not be there before the first request."""
        return iter(())


def address_of(scope: Scope) -> str | None:
    """Of a request that was routed, the address as the API writes it, `/v1/subjects/{subject_id}`; else None.

    A router may be included under several prefixes. FastAPI has the route as the router wrote it in `route`, and, from
    the version on in which it does, the whole address in a place of its own.
    """
    whole = scope.get("fastapi", {}).get("effective_route_context")
    address: str | None = getattr(whole or scope.get("route"), "path", None)
    return address


class Measured:
    """Around everything else: counts each request and its time."""

    def __init__(self, app: ASGIApp, meters: Meters, clock: Callable[[], float]) -> None:
        self._app = app
        self._meters = meters
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = self._clock(), 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._meters.begun()
        try:
            await self._app(scope, receive, send_and_note)
        finally:
            error = scope.get("state", {}).get(ERROR)
            self._meters.ended(scope["method"], address_of(scope), status, self._clock() - began, error)
