"""Teachers from elsewhere, made Models: a folder with `model.onnx` and a card, in a Space of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from faces.space import ModelCard
from kd.errors import ImportRefused
from kd.imports.facenet import FACENETS, import_facenet
from kd.imports.foreign import import_onnx

__all__ = ["FACENETS", "import_teacher"]


def import_teacher(
    source: str, out: Path, *, options: Mapping[str, str], weights: Path | None = None, sha256: str | None = None
) -> ModelCard:
    """Write the teacher that `source` names into the folder `out`, in place of a Model that is there; gives its card.

    source: a name in FACENETS, or the path of an ONNX file. options: how an ONNX file wants its faces, see
    `faces.models.foreign_model`. weights: facenet-pytorch's file, where it is not to be downloaded. sha256: what that
    file, or the ONNX file, must have, in hex.
    Raises ImportRefused for an option that the source does not take, ModelUnknown, WeightsMissing, WeightsUnreadable.
    """
    if source in FACENETS:
        if options:
            raise ImportRefused(f"{source} has a preprocessing of its own, and takes no", ", ".join(options), _LEAVE)
        return import_facenet(FACENETS[source], out, weights=weights, sha256=sha256)
    if weights is not None:
        raise ImportRefused(f"weights are for {', '.join(FACENETS)}, not for", source, _LEAVE)
    return import_onnx(Path(source), out, options, sha256=sha256)


_LEAVE: Final = "Leave it out."
