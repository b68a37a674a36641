"""How many requests a caller may make: a token bucket each, as the one number that it takes.

A bucket of `burst` tokens that is refilled with `per_second` is known by the moment at which it will be full again
(the generic cell rate algorithm; ITU-T I.371, appendix I). A bucket that is full again need not be remembered.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rate:
    per_second: float
    burst: int
    """Requests at once, after a silence."""


def admit(full_at: float, now: float, rate: Rate) -> tuple[float, float]:
    """Take one token from the bucket that is full again at `full_at`: (when it will be full then, seconds to wait).

    Where there is no token nothing is taken, and the wait, over 0, is until there is one. Seconds of any one clock.
    """
    after = max(full_at, now) + 1 / rate.per_second
    wait = after - now - rate.burst / rate.per_second
    return (full_at, wait) if wait > 0 else (after, 0.0)


class RateLimit:
    """A bucket for each caller, at most `callers` of them. Used from the event loop alone, so without a lock.

    Buckets that are full again go first, which nobody can notice; past the limit the one that was used longest ago
    goes, and its caller has a full one again.
    """

    def __init__(self, rate: Rate, callers: int = 10_000) -> None:
        self._rate: Final = rate
        self._callers: Final = callers
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, caller: str, now: float) -> float:
        """Seconds until this caller may come back; 0: the request is within the rate, and counted."""
        full_at, wait = admit(self._full_at.get(caller, now), now, self._rate)
        if not wait:
            self._full_at[caller] = full_at
            self._full_at.move_to_end(caller)
            self._let_go(now)
        return wait

    def _let_go(self, now: float) -> None:
        while self._full_at and (len(self._full_at) > self._callers or next(iter(self._full_at.values())) <= now):
            self._full_at.popitem(last=False)
