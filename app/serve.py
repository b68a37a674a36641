"""From settings to a listening service."""

import errno
import ipaddress
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from app.admission import Admission
from app.engine import Engine, open_engine
from app.errors import CannotListen
from app.metrics import Meters
from app.service import create_app
from app.settings import Settings
from app.trust import trust_of
from app.workers import still_running
from index.keyring import Keyring

_BACKLOG: Final = 2048
_CUT_OFF: Final = 1  # exit code
_LOG: Final = logging.getLogger(__name__)
_REMEDIES: Final = {
    errno.EADDRINUSE: "Stop the other program, or choose another port: --port N (0 takes a free one).",
    errno.EACCES: "Choose a port from 1024 on.",
}


@dataclass(frozen=True, slots=True)
class Started:
    """What a service is when its first request is answered."""

    engine: Engine
    url: str
    locked: bool
    """Does it ask for API keys?"""


def serve(settings: Settings, report: Callable[[Started], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests in flight. report: called once requests are answered.

    Told to stop, the service first says at /readyz that it is not ready, and for `settings.linger` seconds goes on as
    before: time for a load balancer to look. Then nothing new is taken. What has not ended after `settings.drain` is
    left, and the process ends with code 1.
    Raises CannotListen before anything is loaded, the errors of `open_engine`, and KeyNeeded.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)  # uvicorn takes them over while it runs, and hands them back when it has drained
    try:
        _serve(settings, report)
    finally:  # of which SystemExit is the usual end
        if left := still_running():
            _LOG.error("photos that are still being looked at, and are left: %d", left)
            logging.shutdown()
            os._exit(_CUT_OFF)


def _serve(settings: Settings, report: Callable[[Started], None]) -> None:
    meters = Meters()
    with closing(bind(settings.host, settings.port)) as listener, open_engine(settings, meters) as engine:
        keyring = Keyring(engine.gallery.store)
        trust = trust_of(settings, keyring, loopback=is_loopback(listener), name=url_of(listener))
        app = create_app(
            engine,
            admission=Admission(settings.cores + settings.waiting, settings.patience),
            limits=settings.limits,
            trust=trust,
            paths_allowed=not trust.exposed,
            expiry_every=settings.expiry_every,
            meters=meters,
        )
        _listen(listener, settings.host, settings.port)
        report(Started(engine, url_of(listener), keyring.any()))
        stopping: threading.Event = app.state.service.stopping
        Lingering(protocol(app, settings.drain), stopping, settings.linger).run([listener])


class Lingering(uvicorn.Server):
    """Tells that it is to stop before it does. A second signal is obeyed at once."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event, seconds: float) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._seconds = seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        first = not self._stopping.is_set()
        self._stopping.set()
        if first and self._seconds:
            later = threading.Timer(self._seconds, super().handle_exit, (sig, frame))
            later.daemon = True  # a second signal does not wait for it
            later.start()
        else:
            super().handle_exit(sig, frame)


def protocol(app: FastAPI, drain: int = 30) -> uvicorn.Config:
    """HTTP/1.1 as h11 reads it, whichever other readers are installed; who the client is, the application decides."""
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=drain,
    )


def bind(host: str, port: int) -> socket.socket:
    """A socket with the address, not listening yet: until it does, a caller is refused instead of left waiting.

    Raises CannotListen.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise _cannot_listen(error, host, port) from None
    listener = socket.socket(family, kind, protocol)  # with the protocol named, asyncio does without Nagle: 40 ms
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _cannot_listen(error, host, port) from None
    return listener


def is_loopback(listener: socket.socket) -> bool:
    """Can this machine alone reach it?"""
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def url_of(listener: socket.socket) -> str:
    address, port = listener.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _listen(listener: socket.socket, host: str, port: int) -> None:
    try:
        listener.listen(_BACKLOG)
    except OSError as error:  # another process that bound the same port listened first
        raise _cannot_listen(error, host, port) from None


def _cannot_listen(error: OSError, host: str, port: int) -> CannotListen:
    reason = (error.strerror or str(error)).lower()
    remedy = _REMEDIES.get(error.errno or 0, "Choose an address of this machine: --host 127.0.0.1.")
    return CannotListen(f"cannot listen ({reason})", f"{host}:{port}", remedy)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
    raise SystemExit(0)
