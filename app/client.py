"""A typed client of the service, for programs and for `app swap`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
from pydantic import ValidationError

from app.errors import ServiceRefused, ServiceUnreachable
from app.schemas import ErrorAnswer, IdentifyAnswer, ModelsAnswer
from app.verdicts import GateAnswer
from index.answers import Schema

_Answer = TypeVar("_Answer", bound=Schema)

API_KEY: Final = "HEIRLOOM_API_KEY"
"""The variable that programs take their key from: on a command line others could read it."""
DEFAULT_URL: Final = "http://127.0.0.1:8000"
_SECONDS: Final = 120.0  # a swap loads a model and searches the gallery with itself
_MEASURING: Final = 3600.0  # seconds
_MOST_PHOTOS: Final = 16  # in one request
_MOST_BYTES: Final = 16 * 2**20


class Client:
    """Every method raises ServiceUnreachable when nobody answers, ServiceRefused when the answer is an error."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        timeout: float = _SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """key: an API key, `hl_…`; None where the service asks for none."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        try:
            self._http = httpx.Client(base_url=url, timeout=timeout, transport=transport, headers=headers)
        except httpx.InvalidURL as error:
            raise ServiceUnreachable(f"not an address ({error})", url, f"Give one like {DEFAULT_URL}.") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def ready(self) -> bool:
        """Does the service answer, and say that it may be asked?"""
        try:
            return self._http.get("/readyz").is_success
        except httpx.HTTPError:
            return False

    def identify(self, photo: Path | bytes, *, top_k: int = 5) -> IdentifyAnswer:
        """Every face of a photo, each with up to top_k Candidates and a Decision."""
        data = photo if isinstance(photo, bytes) else photo.read_bytes()
        return self._ask(IdentifyAnswer, "POST", "/identify", params={"top_k": top_k}, files={"image": ("photo", data)})

    def models(self) -> ModelsAnswer:
        return self._ask(ModelsAnswer, "GET", "/v1/models")

    def activate(self, model: str, *, force: bool = False) -> ModelsAnswer:
        """Swap to a model: a shipped name, `dlib`, or, on loopback, a path as the service sees it.

        force: whatever the gate says. A service that has probes of its own measures the model first, which takes as
        long as it takes.
        """
        asked: dict[str, Any] = {"model": model} | ({"force": True} if force else {})
        return self._ask(ModelsAnswer, "POST", "/v1/models/activate", json=asked, timeout=_MEASURING)

    def roll_back(self) -> ModelsAnswer:
        return self._ask(ModelsAnswer, "POST", "/v1/models/rollback")

    def load(self, model: str) -> ModelsAnswer:
        """Have a model loaded beside the one that answers."""
        return self._ask(ModelsAnswer, "POST", "/v1/models/load", json={"model": model})

    def unload(self, model: str) -> ModelsAnswer:
        """Let go of a model that does not answer, by its model_id."""
        return self._ask(ModelsAnswer, "POST", "/v1/models/unload", json={"model": model})

    def shadow(self, model: str, share: float) -> ModelsAnswer:
        """Compare a model with the active one on a share of live requests, from now on; share 0 ends it."""
        return self._ask(ModelsAnswer, "POST", "/v1/models/shadow", json={"model": model, "share": share})

    def gate(
        self,
        model: str,
        photos: Sequence[tuple[str, Path]] = (),
        *,
        floor: str = "",
        report_progress: Callable[[int], None] = lambda _: None,
    ) -> GateAnswer:
        """Measure a model against the active one, on these photos (subject id, file), or on those that the service has.

        They are sent in several requests. report_progress: called with the number of photos dealt with.
        """
        asked, answer = {"model": model, "floor": floor}, None
        for batch, last in _batches(photos):
            files = [("photos", (f"{person}/{path.name}", path.read_bytes())) for person, path in batch]
            asked |= {"more": "false" if last else "true"}
            answer = self._ask(GateAnswer, "POST", "/v1/models/gate", data=asked, files=files, timeout=_MEASURING)
            asked |= {"model": answer.new.model.model_id, "trial": answer.trial}
            report_progress(len(batch))
        return answer or self._ask(GateAnswer, "POST", "/v1/models/gate", data=asked, timeout=_MEASURING)

    def _ask(self, kind: type[_Answer], method: str, path: str, **content: Any) -> _Answer:
        url = str(self._http.base_url)
        try:
            response = self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise ServiceUnreachable(
                f"no answer ({reason})", url, "Check the address, and that app serve runs."
            ) from None
        try:
            if response.is_success:
                return kind.model_validate_json(response.content)
            raise _refused(ErrorAnswer.model_validate_json(response.content), response.status_code)
        except ValidationError:
            raise ServiceUnreachable(
                f"status {response.status_code}, but not in this service's words", url, "Check the address."
            ) from None


def _refused(answer: ErrorAnswer, status: int) -> ServiceRefused:
    details: Mapping[str, Any] = answer.error.details
    remedy = str(details.get("remedy", "See the service's log."))
    what = answer.error.message.removesuffix(remedy).rstrip(" .")
    return ServiceRefused(what, answer.request_id, remedy, status=status, error_code=answer.error.code)


def _batches(photos: Sequence[tuple[str, Path]]) -> Iterator[tuple[list[tuple[str, Path]], bool]]:
    """Photos that fit into one request each, in order; and whether they are the last."""
    batch: list[tuple[str, Path]] = []
    size = 0
    for person, path in photos:
        more = path.stat().st_size
        if batch and (len(batch) == _MOST_PHOTOS or size + more > _MOST_BYTES):
            yield batch, False
            batch, size = [], 0
        batch.append((person, path))
        size += more
    if batch:
        yield batch, True
