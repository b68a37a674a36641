"""How far a service trusts who asks: what follows from where it listens and from its settings."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from app.errors import KeyNeeded
from app.ratelimit import Rate, RateLimit
from app.security import Access, Keyring
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Trust:
    access: Access
    exposed: bool
    """Others than this machine can reach the service: it takes no paths, and its /docs loads nobody's scripts."""
    hosts: frozenset[str] | None = None
    """Names that it answers to, beside those of loopback; None: any."""
    origins: frozenset[str] = frozenset()
    proxies: tuple[str, ...] = ()
    upload_seconds: float = 20.0


def trust_of(settings: Settings, keyring: Keyring, *, loopback: bool, name: str) -> Trust:
    """loopback: does the service listen on loopback alone? name: what it listens on, for the error.

    A proxy in front exposes a service on loopback too. Raises KeyNeeded when an exposed one has no key.
    """
    exposed = not loopback or bool(settings.proxies)
    if exposed and not keyring.any():
        raise KeyNeeded(
            "others can reach this service, and there is no API key to tell them apart",
            name,
            f"Create one: app keys create LABEL --scope identify --gallery {settings.gallery}; or listen on 127.0.0.1.",
        )
    rate = RateLimit(Rate(settings.rate, settings.burst)) if settings.rate else None
    now = partial(datetime.now, UTC)
    return Trust(
        Access(keyring, open_allowed=not exposed, rate=rate, now=now, ticks=time.monotonic),
        exposed,
        frozenset(settings.hosts) if settings.hosts or not exposed else None,
        frozenset(settings.origins),
        settings.proxies,
        settings.upload_seconds,
    )
