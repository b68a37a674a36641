"""Ports for programs that must be told theirs before they start."""

import random
import socket

BELOW_EPHEMERAL = range(15_000, 30_000)


def unused_port() -> int:
    """A port of this machine that nothing listens at.

    From below those the system hands out by itself: nobody's outgoing connection takes it before the program does.
    """
    for port in random.sample(BELOW_EPHEMERAL, 100):
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"of 100 ports in {BELOW_EPHEMERAL}, all are taken")
