"""Clients that keep asking while something is changed behind them."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.client import Client
from faces.errors import FacesError

CLIENTS: Final = 4
_ENOUGH: Final = 2 * CLIENTS  # answers of one model that show it in use
_PATIENCE: Final = 60.0  # seconds to wait for them


@dataclass(slots=True)
class Traffic:
    """What the clients saw."""

    answered: Counter[str] = field(default_factory=Counter)
    """Answers by the name of the model that gave them."""
    failures: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.answered.total() + len(self.failures)

    def wait_for(self, model: str) -> None:
        """Until this model has answered every client about twice, or a minute has passed."""
        deadline = time.monotonic() + _PATIENCE
        while self.answered[model] < _ENOUGH and time.monotonic() < deadline:
            time.sleep(0.02)


@contextmanager
def traffic(url: str, photos: Sequence[Path]) -> Iterator[Traffic]:
    """CLIENTS threads that identify the photos over and over until the block ends."""
    seen, stop, counting = Traffic(), threading.Event(), threading.Lock()
    contents = [photo.read_bytes() for photo in photos]

    def ask_until_stopped(first: int) -> None:
        with Client(url) as client:
            turn = first
            while not stop.is_set():
                turn += 1
                try:
                    name = client.identify(contents[turn % len(contents)]).model.name
                except FacesError as error:
                    with counting:
                        seen.failures.append(str(error))
                else:
                    with counting:
                        seen.answered[name] += 1

    clients = [threading.Thread(target=ask_until_stopped, args=(number,)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield seen
    finally:
        stop.set()
        for client in clients:
            client.join()
