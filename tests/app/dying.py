"""`app serve` that kills itself, as `kill -9` would, at a moment of a swap.

    python -m tests.app.dying ACTION MOMENT serve …

Nothing of the service is replaced: what comes before the moment has run, what comes after never does.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import app.changeover
import app.engine
import app.gatekeeper
import app.loading
import app.thresholds
from app.cli import main

MOMENTS = {
    "the new model was opened": (app.loading.Loader, "_open", "after"),
    "its thresholds are computed": (app.thresholds.Thresholds, "measure", "before"),
    "the swap is on record": (app.changeover, "_moved", "after"),
    "the choice is about to be stored": (app.engine.LocalGallery, "set_active_model", "before"),
    "the choice is stored": (app.engine.LocalGallery, "set_active_model", "after"),
    "the pointer has moved": (app.changeover.Changeover, "_after_change", "before"),
    "all is done but the answer": (app.changeover.Changeover, "_after_change", "after"),
}
"""Where to look, at what, before or after it runs."""

OF_THE_GATE = {
    "some photos were measured": (app.gatekeeper.Hearing, "hear", "after"),
    "the verdict is about to be given": (app.gatekeeper.Gatekeeper, "close", "before"),
}


def die_at(action: str, moment: str) -> None:
    """Once the Changeover was asked for `action` (activate, roll_back, hear), the moment is the last."""
    armed = False
    asked: Callable[..., Any] = getattr(app.changeover.Changeover, action)
    place, name, side = (MOMENTS | OF_THE_GATE)[moment]
    act: Callable[..., Any] = getattr(place, name)

    def arm(*arguments: Any, **options: Any) -> Any:
        nonlocal armed
        armed = True
        return asked(*arguments, **options)

    def until_then(*arguments: Any, **options: Any) -> Any:
        if armed and side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = act(*arguments, **options)
        if armed:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(app.changeover.Changeover, action, arm)
    setattr(place, name, until_then)


if __name__ == "__main__":
    die_at(sys.argv.pop(1), sys.argv.pop(1))
    main()
