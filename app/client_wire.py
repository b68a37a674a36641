"""Requests and answers of the typed client: what is sent, and what an answer, or none, becomes."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from app.errors import ServiceRefused, ServiceUnreachable
from app.schemas import ErrorAnswer
from index.answers import Schema

_Answer = TypeVar("_Answer", bound=Schema)

_NONE: Final[Mapping[str, object]] = {}


class Wire:
    """Over one connection pool. Every method raises ServiceUnreachable, ServiceRefused."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def succeeds(self, path: str) -> bool:
        """Is the answer a good one?"""
        try:
            return self._http.get(path).is_success
        except httpx.HTTPError:
            return False

    @staticmethod
    def path(*parts: str | int) -> str:
        """An address: the first part as it is, the others as ids, whatever characters they have."""
        first, *ids = parts
        return "/".join([str(first), *(quote(str(part), safe="") for part in ids)])

    def ask(
        self, kind: type[_Answer], method: str, path: str, *, optional: Mapping[str, object] = _NONE, **content: Any
    ) -> _Answer:
        """The answer. optional: query parameters that are left out where they are None."""
        params = content.pop("params", {}) | {name: value for name, value in optional.items() if value is not None}
        url = str(self._http.base_url)
        try:
            response = self._http.request(method, path, params=params, **content)
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
    return ServiceRefused(
        what, answer.request_id, remedy, status=status, error_code=answer.error.code, error_details=details
    )
