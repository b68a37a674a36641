"""Who asks, and what they may do: API keys, and the rate that each has.

    Depends(require("enrol"))    a caller with this scope, for the collection that the address names

A service on loopback is open until its store has a key; from then on, and wherever else it listens, a key is asked for.
"""

import ipaddress
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Final, Literal, Protocol

from fastapi import Request

from app.errors import KeyRequired, NotPermitted, RateLimited
from app.ratelimit import RateLimit
from index.access import AccessKey
from index.errors import AccessRefused

Scope = Literal["identify", "enrol", "admin", "audit"]

DEFAULT_COLLECTION: Final = "default"
ANYONE: Final = "anyone"
"""Stands in logs for a caller of an open service, where a key's id would be."""

SCHEMES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `hl_…`."},
        "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
)
"""How the OpenAPI document says that a key is sent; either will do."""
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip")
_SEND_ONE: Final = "Send one as `Authorization: Bearer hl_…` or `x-api-key: hl_…`."
_HOUSEHOLD: Final = 64  # bits of an IPv6 address that tell one holder from another; the rest is the holder's choice


class Keyring(Protocol):
    """Where keys are. Called on the event loop: an answer takes the time of one row."""

    def find(self, token: str, now: datetime) -> AccessKey:
        """The key with this text, in force now. Raises AccessRefused."""
        ...

    def any(self) -> bool:
        """Was there ever a key? Revoking the last one does not open a service."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    key: AccessKey | None
    """None: nobody is asked for one."""

    @property
    def actor(self) -> str:
        """Under which name the log and the audit log know the caller."""
        return ANYONE if self.key is None else self.key.key_id

    def may_search(self, collection: str) -> bool:
        """Whether what is found in this collection may be told to them."""
        key = self.key
        return key is None or any(key.allows(scope, collection) for scope in ("identify", "admin"))


class Access:
    """Tells callers apart, and holds each to its rate. Used from the event loop alone.

    open_allowed: may a caller without a key be answered while there is none (on loopback)?
    rate: None: as many requests as they like. now: the time, with its zone; ticks: seconds of a clock that only rises.
    """

    def __init__(
        self,
        keyring: Keyring,
        *,
        open_allowed: bool,
        rate: RateLimit | None,
        now: Callable[[], datetime],
        ticks: Callable[[], float],
    ) -> None:
        self._keyring = keyring
        self._open_allowed = open_allowed
        self._locked = False
        self._rate = rate
        self._now = now
        self._ticks = ticks

    def admit(self, request: Request) -> Caller:
        """Who asks, within the rate. Raises KeyRequired, AccessRefused, RateLimited, and the errors of the store."""
        try:
            caller = self._identified(request)
        except (KeyRequired, AccessRefused):
            self._hold_to_rate(_network_of(request))
            raise
        self._hold_to_rate(_network_of(request) if caller.key is None else f"key {caller.key.key_id}")
        return caller

    def _identified(self, request: Request) -> Caller:
        if not self._asks_for_keys():
            if any(name in request.headers for name in _FORWARDED):
                raise KeyRequired(
                    "a request by way of a proxy, to a service that has no", "key", "Create one: app keys create."
                )
            return Caller(None)
        tokens = _tokens(request)
        if len(tokens) != 1:
            raise KeyRequired("API keys in the request, where one is needed:", len(tokens), _SEND_ONE)
        return Caller(self._keyring.find(tokens.pop(), self._now()))

    def _asks_for_keys(self) -> bool:
        self._locked = self._locked or not self._open_allowed or self._keyring.any()
        return self._locked

    def _hold_to_rate(self, caller: str) -> None:
        wait = 0.0 if self._rate is None else self._rate.take(caller, self._ticks())
        if wait:
            raise RateLimited("too many requests; seconds to wait", math.ceil(wait), "Come back then (Retry-After).")


class _NoKeys:
    """The Keyring of nobody."""

    def find(self, token: str, now: datetime) -> AccessKey:  # noqa: ARG002
        raise AccessRefused("no such API key", "", "There is none.")

    def any(self) -> bool:
        return False


def anybody() -> Access:
    """Access for everybody, at any rate: for a service on loopback without a store of keys."""
    return Access(_NoKeys(), open_allowed=True, rate=None, now=partial(datetime.now, UTC), ticks=time.monotonic)


@dataclass(frozen=True, slots=True)
class Require:
    """Lets nobody by without one of these scopes, for the collection in the address; see `app.routes.guarded`.

    everywhere: what is asked for concerns the whole store, so it takes a key for all collections.
    """

    scopes: tuple[Scope, ...]
    everywhere: bool

    async def __call__(self, request: Request) -> Caller:
        """For a route of another kind: after the body, but asked all the same."""
        return self.admit(request)

    def admit(self, request: Request) -> Caller:
        """Asked twice of one request, it counts once. Raises NotPermitted, and the errors of `Access.admit`."""
        caller: Caller | None = getattr(request.state, "caller", None)
        if caller is None:
            access: Access = request.app.state.access
            caller = request.state.caller = access.admit(request)
        collection = None if self.everywhere else request.path_params.get("collection", DEFAULT_COLLECTION)
        if caller.key is not None and not any(caller.key.allows(scope, collection) for scope in self.scopes):
            raise self._not_permitted(caller.key, collection)
        return caller

    def _not_permitted(self, key: AccessKey, collection: str | None) -> NotPermitted:
        wanted, remedy = " or ".join(self.scopes), "Ask for another key: app keys create."
        if not set(self.scopes) & set(key.scopes):
            return NotPermitted("this API key has not the scope", wanted, remedy)
        where = "all collections" if collection is None else f"the collection {collection}"
        return NotPermitted(f"this API key is not for {where}, but for", list(key.collections), remedy)


def require(*scopes: Scope, everywhere: bool = False) -> Require:
    """For `Depends`: one of these scopes is needed. Each stands for itself: `admin` does not include the others."""
    return Require(scopes, everywhere)


def _tokens(request: Request) -> set[str]:
    """What the request holds of keys, without those that are sent twice."""
    bearers = [value.split(" ", 1) for value in request.headers.getlist("authorization")]
    found = {value[1].strip() for value in bearers if len(value) == 2 and value[0].lower() == "bearer"}
    return found | {value.strip() for value in request.headers.getlist("x-api-key")}


def _network_of(request: Request) -> str:
    """The caller's address, or, of IPv6, the network of those that are one household's."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    return str(address.ipv4_mapped or ipaddress.IPv6Network((address, _HOUSEHOLD), strict=False))
