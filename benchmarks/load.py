"""Clients of a running service, in a process of their own: photos to POST /identify, a JSON line for each answer.

    python -m benchmarks.load closed URL FOLDER --clients N --seconds S
    python -m benchmarks.load open URL FOLDER --rate R --seconds S [--seed N]

closed: each client asks again once it was answered, as a program in a loop does. open: requests are sent at random
moments (Poisson), R a second, whether or not the ones before were answered, as a crowd does. A line has the seconds
since the start at which the request was meant to be sent (`meant`) and answered (`done`), and the status (`status`, 0
for none). What a client could not send in time because an answer was late counts from when it was meant: no omission is
coordinated with the service.
"""

import itertools
import json
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click

BOUNDARY = "heirloom"
TIMEOUT = 60.0  # seconds
IDLE = 2.0  # seconds after which a connection is not used again: the service closes it after five
HEAD = (
    "POST /identify HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n"
    f"content-type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
)
HEADED = re.compile(rb"HTTP/1\.1 (?P<status>\d+).*?\r\ncontent-length: (?P<length>\d+)\r\n.*?\r\n\r\n", re.DOTALL)
MOST_AT_ONCE = 256  # requests of the open loop that wait for an answer


class Connection:
    """One client's connection, kept open from request to request. It costs next to nothing of what it measures."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._socket: socket.socket | None = None
        self._last = time.perf_counter()

    def ask(self, body: bytes) -> int:
        """The status; 0 when there was none."""
        if time.perf_counter() - self._last > IDLE:
            self._close()
        try:
            return self._asked(body)
        except OSError:
            self._close()
            return 0
        finally:
            self._last = time.perf_counter()

    def _asked(self, body: bytes) -> int:
        if self._socket is None:
            self._socket = socket.create_connection((self._address.hostname, self._address.port), TIMEOUT)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(HEAD.format(host=self._address.netloc, length=len(body)).encode() + body)
        answer = b""
        while (head := HEADED.match(answer)) is None or len(answer) < head.end() + int(head["length"]):
            if not (more := self._socket.recv(65_536)):
                raise ConnectionError
            answer += more
        return int(head["status"])

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Record:
    """What was measured, printed at the end: printing meanwhile would take time from what is measured."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self._lines: list[dict[str, float]] = []

    def now(self) -> float:
        return time.perf_counter() - self.start

    def add(self, meant: float, status: int) -> None:
        self._lines.append({"meant": meant, "done": self.now(), "status": status})

    def print(self) -> None:
        for line in self._lines:
            print(json.dumps(line))


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@click.argument("url")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--clients", default=1)
@click.option("--seconds", default=10.0)
def closed(url: str, folder: Path, clients: int, seconds: float) -> None:
    bodies, record = list(forms_of(folder).values()), Record()

    def client(number: int) -> None:
        connection = Connection(url)
        for body in itertools.islice(itertools.cycle(bodies), number, None, clients):
            if (meant := record.now()) > seconds:
                return
            record.add(meant, connection.ask(body))

    together([lambda number=number: client(number) for number in range(clients)])
    record.print()


@main.command("open")
@click.argument("url")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rate", default=10.0)
@click.option("--seconds", default=10.0)
@click.option("--seed", default=0)
def open_loop(url: str, folder: Path, rate: float, seconds: float, seed: int) -> None:
    bodies, record = itertools.cycle(forms_of(folder).values()), Record()
    moments, taking = arrivals(rate, seconds, seed), threading.Lock()

    def sender() -> None:
        connection = Connection(url)
        while True:
            with taking:
                meant, body = next(moments, None), next(bodies)
            if meant is None:
                return
            time.sleep(max(meant - record.now(), 0))
            record.add(meant, connection.ask(body))

    together([sender] * MOST_AT_ONCE)
    record.print()


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Moments of a Poisson process, in seconds."""
    draw, moment = random.Random(seed), 0.0
    while (moment := moment + draw.expovariate(rate)) < seconds:
        yield moment


def forms_of(folder: Path) -> dict[Path, bytes]:
    """The body of the request for each photo of a folder of people, mixed but always the same."""
    photos = sorted(folder.glob("*/*.jpg"))
    random.Random(0).shuffle(photos)
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="image"; filename="photo.jpg"\r\n\r\n'
    return {photo: head.encode() + photo.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode() for photo in photos}


def together(calls: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
