"""The kind of route that everything but health is: who may not ask, or sends too much, is refused first."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Final

from fastapi import Depends, Request, Response, params
from fastapi.routing import APIRoute

from app.envelope import problems
from app.errors import KeyRequired, NotPermitted, RateLimited, RequestTooSlow
from app.middleware import PHOTOS
from app.security import SCHEMES, Require
from index.errors import AccessRefused

MOST_PHOTOS: Final = 20
"""In one request."""
_MOST_FIELDS: Final = 20
_LONGEST_FIELD: Final = 64 * 1024  # bytes

REFUSALS: Final = (
    KeyRequired("API keys in the request, where one is needed:", 0, "Send one as `Authorization: Bearer hl_…`."),
    AccessRefused("an API key that was revoked at 2026-11-28T09:00:00+00:00", "5f0c77aa9be1", "Ask for a new one."),
    NotPermitted("this API key has not the scope", "admin", "Ask for another key: app keys create."),
    RateLimited("too many requests; seconds to wait", 2, "Come back then (Retry-After)."),
    RequestTooSlow("the body stopped, or is too slow, after bytes", 65_536, "Send it again, without a pause."),
)
"""Examples of what any guarded route may answer with."""


@dataclass(frozen=True, slots=True)
class Photos:
    """For `Depends`: how many photos the body may hold; without it, one."""

    most: int

    async def __call__(self) -> None:
        """Nothing to hand to the route."""


@dataclass(frozen=True, slots=True)
class Slow:
    """For `Depends`: a model is loaded or measured here. That has turns of its own, or people would wait for it."""

    async def __call__(self) -> None:
        """Nothing to hand to the route."""


class Guarded(APIRoute):
    """Asks the route's `Require` before a byte of the body is read, and bounds the form.

    FastAPI by itself reads the whole body before it looks at a dependency, so that strangers could send what they like.
    Nor does it have to look at these afterwards: each takes a twentieth of a millisecond. What changes something waits
    for the disk and for other processes; a few of these go on at a time, so that threads are left for the rest. A turn
    is waited for once the body is there: who sends it slowly keeps none.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        dependencies: Sequence[params.Depends] | None = None,
        openapi_extra: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        wanted = list(dependencies or ())
        self.requires = [each.dependency for each in wanted if isinstance(each.dependency, Require)]
        self._photos = next((each.dependency.most for each in wanted if isinstance(each.dependency, Photos)), 1)
        self.slow = any(isinstance(each.dependency, Slow) for each in wanted)
        others = [each for each in wanted if not isinstance(each.dependency, Require | Photos | Slow)]
        if not iscoroutinefunction(endpoint) and "GET" not in (options.get("methods") or {"GET"}):
            others.insert(0, Depends(_turn_of_the_slow if self.slow else _turn, scope="function"))
        extra: dict[str, Any] = {"security": [{scheme: []} for scheme in SCHEMES]} if self.requires else {}
        super().__init__(path, endpoint, dependencies=others, openapi_extra=extra | (openapi_extra or {}), **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            for each in self.requires:
                each.admit(request)
            request.scope["state"][PHOTOS] = self._photos
            return await handle(_Bounded(request.scope, request.receive, photos=self._photos))

        return guarded


async def _turn(request: Request) -> AsyncIterator[None]:
    async with request.app.state.changing:
        yield


async def _turn_of_the_slow(request: Request) -> AsyncIterator[None]:
    async with request.app.state.changing_models:
        yield


class _Bounded(Request):
    """A request whose form has as many parts as its route can use."""

    def __init__(self, *arguments: Any, photos: int) -> None:
        super().__init__(*arguments)
        self._photos = photos

    def form(self, **_: Any) -> Any:  # its type is starlette's own, and private
        return super().form(max_files=self._photos, max_fields=_MOST_FIELDS, max_part_size=_LONGEST_FIELD)


def guarded_problems() -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` of a router of guarded routes."""
    return problems(*REFUSALS)
