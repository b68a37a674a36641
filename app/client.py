"""A typed client of the service, for programs and for `app swap`."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
from pydantic import ValidationError

from app.errors import ServiceRefused, ServiceUnreachable
from app.schemas import ErrorAnswer, IdentifyAnswer, ModelsAnswer
from index.answers import Schema

_Answer = TypeVar("_Answer", bound=Schema)

API_KEY: Final = "HEIRLOOM_API_KEY"
"""The variable that programs take their key from: on a command line others could read it."""
DEFAULT_URL: Final = "http://127.0.0.1:8000"
_SECONDS: Final = 120.0  # a swap loads a model and searches the gallery with itself


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

    def activate(self, model: str) -> ModelsAnswer:
        """Swap to a model: a shipped name, `dlib`, or, on loopback, a path as the service sees it."""
        return self._ask(ModelsAnswer, "POST", "/v1/models/activate", json={"model": model})

    def roll_back(self) -> ModelsAnswer:
        return self._ask(ModelsAnswer, "POST", "/v1/models/rollback")

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
