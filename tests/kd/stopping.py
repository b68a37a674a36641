"""A run that is asked to stop, as Ctrl-C asks it."""

from contextlib import contextmanager

import pytest


def stop_after(steps, monkeypatch, work):
    """Do `work`, which trains, and stop it after so many steps."""
    left = iter([False] * (steps - 1) + [True])

    @contextmanager
    def told():
        yield lambda: next(left)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("kd.distil._until_told", told)
        with pytest.raises(KeyboardInterrupt):
            work()
