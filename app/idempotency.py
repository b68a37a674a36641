"""A request that is sent twice, because its answer was lost on the way, happens once: the header Idempotency-Key.

As Stripe does, and draft-ietf-httpapi-idempotency-key-header: the answer to the first request is given to the second
too; the same key with another content is refused; so is the second while the first is still being answered. An error is
not remembered: it has changed nothing, and a later try may go better.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Protocol

from fastapi import Header, Response

from app.errors import RepeatRefused, RepeatTooEarly
from app.logs import log_event
from faces.errors import FacesError
from index.repeats import Kept, Whom

_LOG: Final = logging.getLogger(__name__)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A text of your own, a UUID say, for this request: sent again with it within 24 hours, "
        "the request is not carried out again, but given the same answer.",
    ),
]


class Repeats(Protocol):
    """Where answers are kept, for a day."""

    def recall(self, scope: str, key: str, now: datetime) -> Kept | None: ...

    def keep(self, scope: str, key: str, kept: Kept, whom: Whom, now: datetime) -> None:
        """Durable on return; nothing when the Subject is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Repeatable:
    """What tells one request from another."""

    scope: str
    """See `scope_of`."""
    key: str
    request: str
    """See `fingerprint`."""
    whom: Whom
    """Whom the answer will be about."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    answer: str
    """JSON."""
    replayed: bool = False
    """Given before."""


def response_of(reply: Reply) -> Response:
    headers = {"idempotency-replayed": "true"} if reply.replayed else None
    return Response(reply.answer, reply.status, headers, media_type="application/json")


class Once:
    """Carries out each request once. Safe to use from several threads."""

    def __init__(self, repeats: Repeats, now: Callable[[], datetime]) -> None:
        self._repeats = repeats
        self._now = now
        self._in_flight: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def answer(self, repeatable: Repeatable, act: Callable[[], Reply]) -> Reply:
        """The reply that was given before, or that of `act`, whose errors pass through and are not kept.

        Raises RepeatRefused when the key was used for another content, RepeatTooEarly while the first is under way.
        A reply that cannot be kept is given all the same: what it tells of is done.
        """
        with self._alone(repeatable):
            kept = self._repeats.recall(repeatable.scope, repeatable.key, self._now())
            if kept is not None:
                return _again(kept, repeatable)
            reply = act()
            try:
                known = Kept(repeatable.request, reply.status, reply.answer)
                self._repeats.keep(repeatable.scope, repeatable.key, known, repeatable.whom, self._now())
            except FacesError as error:
                log_event(_LOG, logging.WARNING, f"an answer could not be kept for a repeated request: {error}")
            return reply

    @contextmanager
    def _alone(self, repeatable: Repeatable) -> Iterator[None]:
        mine = (repeatable.scope, repeatable.key)
        with self._lock:
            if mine in self._in_flight:
                remedy = "Wait for the answer, or send it again after a moment."
                raise RepeatTooEarly("the request with this Idempotency-Key is under way", repeatable.key, remedy)
            self._in_flight.add(mine)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight.remove(mine)


def _again(kept: Kept, repeatable: Repeatable) -> Reply:
    if kept.request != repeatable.request:
        remedy = "Send the same content, or another key."
        raise RepeatRefused("this Idempotency-Key came with another content before", repeatable.key, remedy)
    return Reply(kept.status, kept.answer, replayed=True)


def scope_of(actor: str, method: str, path: str) -> str:
    """Whose key it is, and of which address, hashed since it may be a name: two callers may choose the same key."""
    return f"{actor} {hashlib.sha256(f'{method} {path}'.encode()).hexdigest()[:32]}"


def fingerprint(parts: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 of the content, (name, value) in order; not of the body, where a form has a new boundary each time."""
    whole = hashlib.sha256()
    for name, value in parts:
        for text in (name.encode(), value):
            whole.update(len(text).to_bytes(8, "big"))
            whole.update(text)
    return whole.hexdigest()
