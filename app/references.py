"""MODEL as people write it: a name, `onnx:PATH` or a folder; and which one a service starts with."""

from pathlib import Path
from typing import Final

from app.errors import ModelNotChosen
from faces.models import model_names

_ONNX: Final = "onnx:"


def absolute(reference: str) -> str:
    """The same MODEL from any working directory: names as they are, paths made absolute."""
    if reference in model_names():
        return reference
    scheme = _ONNX if reference.startswith(_ONNX) else ""
    return f"{scheme}{Path(reference.removeprefix(scheme)).absolute()}"


def starting_model(given: str | None, stored: str | None, started_with: str | None) -> str:
    """The last thing that was said wins. Raises ModelNotChosen when nothing was.

    given: --model, now. stored: the model that the gallery was last served with or swapped to; started_with: --model
    of the service that stored it. So a restart with the same --model keeps a swap, and another --model outvotes it.
    """
    if given is None:
        if stored is None:
            raise ModelNotChosen("this gallery was never served", None, "Give --model, for example --model dlib.")
        return stored
    wanted = absolute(given)
    return stored if stored is not None and started_with == wanted else wanted
