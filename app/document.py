"""The OpenAPI document: how operations are called, and what FastAPI says of errors that is not so here."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.routes.service import COLLECTION

PREFIX: Final = "/v1"
NAMED: Final = f"{PREFIX}/collections/{{{COLLECTION}}}"
"""Where routes of a collection are found: those of the default one, and of any."""

_THEIRS: Final = ("HTTPValidationError", "ValidationError")
"""FastAPI's answer to an invalid request; ours is 400, in the envelope."""


def operation_id(route: APIRoute) -> str:
    """Its function's name; and where it stands, if that is a second or third address."""
    if route.path.startswith(f"{NAMED}/"):
        return f"{route.name}_in_collection"
    return f"{route.name}_v1" if route.path == f"{PREFIX}/identify" else route.name


class Documented(FastAPI):
    """A FastAPI whose document speaks of no errors that it never answers with."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            for methods in document["paths"].values():
                for operation in methods.values():
                    _drop_theirs(operation["responses"])
            for name in _THEIRS:
                document["components"]["schemas"].pop(name, None)
        return self.openapi_schema or document


def _drop_theirs(responses: dict[str, Any]) -> None:
    answer = responses.get("422", {})
    if _THEIRS[0] in str(answer.get("content", {}).get("application/json", {}).get("schema")):
        del responses["422"]
