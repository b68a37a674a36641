"""What a browser is told, and kept from: names that point here without leave, pages of other origins, frames.

A web page can make its visitor's browser ask a service on loopback, which nobody else can reach. Two things give it
away: the header Host has the page's own name (DNS rebinding), or the header Origin does (a form, a script).
"""

import ipaddress
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.envelope import error_response
from app.errors import HostRefused, OriginRefused

DOCS: Final = "/docs"

_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
)
_CDN: Final = "https://cdn.jsdelivr.net"
_DOCS_POLICY: Final = (
    f"default-src 'none'; connect-src 'self'; img-src data: https://fastapi.tiangolo.com; script-src {_CDN} "
    f"'unsafe-inline'; style-src {_CDN} 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALLOWED: Final = MappingProxyType(
    {
        "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": "authorization, content-type, idempotency-key, x-api-key, x-request-id",
        "access-control-max-age": "600",
    }
)
_EXPOSED: Final = "idempotency-replayed, retry-after, x-request-id"


class SecurityHeaders:
    """Says in every answer that it is not to be kept, framed, guessed at or loaded into a page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"] == DOCS:
                    headers["content-security-policy"] = _DOCS_POLICY
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Hosts:
    """Answers to these names alone, and to those of loopback, which no page can take. None: to any name."""

    def __init__(self, app: ASGIApp, names: frozenset[str] | None) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._names is None:
            await self._app(scope, receive, send)
            return
        name = _name(Headers(scope=scope).get("host", ""))
        if name in self._names or _is_loopback(name):
            await self._app(scope, receive, send)
            return
        refusal = HostRefused("this service is not called", name, "Use its own name, or add this one: HEIRLOOM_HOSTS.")
        await error_response(refusal, scope["state"]["request_id"])(scope, receive, send)


class Origins:
    """Keeps web pages of other origins out, but for these, which CORS lets in. Credentials are none of its business:
    a key is sent on purpose, never by the browser itself.
    """

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin")
        if origin is None or origin.partition("://")[2] == headers.get("host"):
            await self._app(scope, receive, send)
        elif origin not in self._origins:
            remedy = "Let the page's own server ask, or add its origin: HEIRLOOM_ORIGINS."
            refusal = OriginRefused("a web page of another origin may not ask", origin, remedy)
            await error_response(refusal, scope["state"]["request_id"])(scope, receive, send)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await Response(status_code=204, headers=_allowing(origin) | _ALLOWED)(scope, receive, send)
        else:
            await self._app(scope, receive, _letting_in(origin, send))


def _letting_in(origin: str, send: Send) -> Send:
    async def send_with_leave(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_allowing(origin) | {"access-control-expose-headers": _EXPOSED})
        await send(message)

    return send_with_leave


def _allowing(origin: str) -> dict[str, str]:
    return {"access-control-allow-origin": origin, "vary": "origin"}


def _name(host: str) -> str:
    """A header Host without its port."""
    without = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
    return without.strip("[]").rstrip(".").lower()


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
