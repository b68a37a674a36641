"""From settings to a listening service."""

import errno
import ipaddress
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from types import FrameType
from typing import Final

import uvicorn

from app.admission import Admission
from app.engine import Engine, open_engine
from app.errors import CannotListen
from app.service import create_app
from app.settings import Settings

_BACKLOG: Final = 2048
_REMEDIES: Final = {
    errno.EADDRINUSE: "Stop the other program, or choose another port: --port N (0 takes a free one).",
    errno.EACCES: "Choose a port from 1024 on.",
}


def serve(settings: Settings, report: Callable[[Engine, str, bool], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests in flight.

    report: called once requests are answered, with the Engine, the URL, and whether other machines can reach it.
    Raises CannotListen before anything is loaded, and the errors of `open_engine`.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)  # uvicorn takes them over while it runs, and hands them back when it has drained
    with closing(bind(settings.host, settings.port)) as listener, open_engine(settings) as engine:
        exposed = not is_loopback(listener)
        app = create_app(
            engine,
            admission=Admission(settings.cores + settings.waiting, settings.patience),
            limits=settings.limits,
            paths_allowed=not exposed,
        )
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=settings.drain)
        _listen(listener, settings.host, settings.port)
        report(engine, url_of(listener), exposed)
        uvicorn.Server(config).run([listener])


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
