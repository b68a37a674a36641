"""How many requests may compute at once, and how many may wait for their turn."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from app.errors import Overloaded

_REMEDY: Final = "Try again after a moment (Retry-After), or send fewer requests at once."


class Gate:
    """Lets `slots` in; up to `waiting` more wait, at most `patience` seconds each; all others are refused at once."""

    def __init__(self, slots: int, waiting: int, patience: float) -> None:
        self.slots: Final = slots
        self.waiting: Final = waiting
        self._patience = patience
        self._free = threading.Semaphore(slots)
        self._room = threading.Semaphore(slots + waiting)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold a slot. Raises Overloaded when there is no room to wait, or the wait was in vain."""
        if not self._room.acquire(blocking=False):
            raise Overloaded("too many requests are waiting", self.waiting, _REMEDY)
        try:
            if not self._free.acquire(timeout=self._patience):
                raise Overloaded("no free slot within so many seconds", self._patience, _REMEDY)
            try:
                yield
            finally:
                self._free.release()
        finally:
            self._room.release()
