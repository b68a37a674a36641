"""Where routes stand, and how their operations are called in the OpenAPI document."""

from typing import Final

from fastapi.routing import APIRoute

from app.routes.service import COLLECTION

PREFIX: Final = "/v1"
NAMED: Final = f"{PREFIX}/collections/{{{COLLECTION}}}"
"""Where routes of a collection are found: those of the default one, and of any."""


def operation_id(route: APIRoute) -> str:
    """Its function's name; and where it stands, if that is a second or third address."""
    if route.path.startswith(f"{NAMED}/"):
        return f"{route.name}_in_collection"
    return f"{route.name}_v1" if route.path == f"{PREFIX}/identify" else route.name
