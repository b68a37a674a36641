"""What happens around every request: its id, its line in the log, its size limit, and errors nobody foresaw."""

import asyncio
import logging
import re
import time
import uuid
from typing import Final

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.envelope import error_response
from app.errors import InternalError, NotReady, RequestTooLarge, RequestTooSlow
from app.logs import log_event, log_failure
from app.metrics import address_of

PHOTOS: Final = "photos"
"""In a request's state: how many photos its body may hold, 1 where a route does not say."""

_LOG: Final = logging.getLogger("app.requests")
_HEADER: Final = "x-request-id"
_ACCEPTED: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FORM: Final = 64 * 1024  # bytes that the form around the photos may take
_LOOK: Final = "Ask again; where something was to be changed, look first: it may have been."
_SLOWEST: Final = 16 * 1024  # bytes a second


class Requests:
    """Gives each request an id (the caller's x-request-id where it is a plain one), answers with it, logs with it.

    The log has the address as its route writes it, `/v1/subjects/{subject_id}`: what stands there may be a name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(_HEADER, "")
        request_id = given if _ACCEPTED.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[_HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:  # the server has waited for as long as it may, and ends
            if not status:
                cut = NotReady("the service stopped before the end of request", request_id, _LOOK)
                await error_response(cut, request_id)(scope, receive, send_with_id)
            raise
        except Exception:
            log_failure(_LOG, "failed", request_id=request_id)
            if status:  # the answer is under way: all that is left is to cut it
                raise
            error = InternalError("the service failed at request", request_id, "Its log says why, under this id.")
            await error_response(error, request_id)(scope, receive, send_with_id)
        finally:
            _log_answer(scope, status, (time.perf_counter() - started) * 1000)


def _log_answer(scope: Scope, status: int, spent: float) -> None:
    state = scope["state"]
    log_event(
        _LOG,
        logging.INFO,
        "answered",
        request_id=state["request_id"],
        caller=state["caller"].actor if "caller" in state else None,
        method=scope["method"],
        route=address_of(scope),
        status=status,
        ms=round(spent, 1),
    )


class BodyLimit:
    """Stops reading a body that is too long, stated or not, or too slow: neither is ever held in memory.

    photo: bytes of the largest one. seconds: that a body may take, beside one more for each 16 KiB that have come.
    """

    def __init__(self, app: ASGIApp, photo: int, seconds: float) -> None:
        self._app = app
        self._photo = photo
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        header = Headers(scope=scope).get("content-length", "")
        stated = int(header) if header.isdecimal() else 0
        state = scope.setdefault("state", {})
        read, complete, started = 0, False, 0.0

        async def receive_within() -> Message:
            nonlocal read, complete, started
            if complete:  # what comes now is that the client goes away, and that may take any time
                return await receive()
            limit = self._photo * state.get(PHOTOS, 1) + _FORM
            if stated > limit:  # before the client is told to go on
                raise _too_large(stated, limit)
            started = started or anyio.current_time()
            message = await self._in_time(receive, started + self._seconds + read / _SLOWEST, read)
            read += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if read > limit:
                raise _too_large(read, limit)
            return message

        await self._app(scope, receive_within, send)

    async def _in_time(self, receive: Receive, deadline: float, read: int) -> Message:
        with anyio.CancelScope(deadline=deadline):
            return await receive()
        raise RequestTooSlow("the body stopped, or is too slow, after bytes", read, "Send it again, without a pause.")


def _too_large(size: int, limit: int) -> RequestTooLarge:
    return RequestTooLarge("bytes in the request", size, f"Send at most {limit}.")
