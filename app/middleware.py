"""What happens around every request: its id, its line in the log, its size limit, and errors nobody foresaw."""

import logging
import re
import time
import uuid
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.envelope import error_response
from app.errors import InternalError, RequestTooLarge

_LOG: Final = logging.getLogger("app.requests")
_HEADER: Final = "x-request-id"
_ACCEPTED: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Requests:
    """Gives each request an id (the caller's x-request-id where it is a plain one), answers with it, logs with it."""

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
        except Exception:
            _LOG.exception("%s failed", request_id)
            if status:  # the answer is under way: all that is left is to cut it
                raise
            error = InternalError("the service failed at request", request_id, "Its log says why, under this id.")
            await error_response(error, request_id)(scope, receive, send_with_id)
        finally:
            spent = (time.perf_counter() - started) * 1000
            _LOG.info("%s %s %s %d %.1f ms", request_id, scope["method"], scope["path"], status, spent)


class BodyLimit:
    """Stops reading a body at `limit` bytes, stated or not: what is too long is never held in memory."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        header = Headers(scope=scope).get("content-length", "")
        stated = int(header) if header.isdecimal() else 0
        read = 0

        async def receive_within() -> Message:
            nonlocal read
            if stated > self._limit:  # before the client is told to go on
                raise self._too_large(stated)
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise self._too_large(read)
            return message

        await self._app(scope, receive_within, send)

    def _too_large(self, size: int) -> RequestTooLarge:
        return RequestTooLarge("bytes in the request", size, f"Send at most {self._limit}.")
