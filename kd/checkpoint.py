"""A run on disk: its settings, and the state after its last saved step."""

import io
import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from faces.files import write_whole
from kd.config import AdaptConfig, RunConfig, Settings
from kd.errors import CheckpointMismatch, CheckpointUnwritable
from kd.train import Run

_IN_A_BLOCK: Final = re.compile(r"\.(first|second)\.")  # parameters of a residual block
_LAST_OF_A_BLOCK: Final = re.compile(r"\.second\.(1\.weight|weight|bias)$")
"""Its last batch normalisation's scale; where it has none, its last convolution."""


def require_same_run(folder: Path, config: Settings) -> None:
    """Raises CheckpointMismatch, which names what differs, when the folder holds a run with other settings.

    `epochs` alone may change: a run can be given more of them, or fewer. A run that saved no checkpoint has nothing to
    lose: its folder is free.
    """
    if (folder / "config.json").is_file() and has_checkpoint(folder):
        kept, wanted = _comparable(load_settings(folder)), _comparable(config)
        changed = [f"{name} was {kept[name]!r}" for name in kept if name not in wanted or kept[name] != wanted[name]]
        if changed:
            raise CheckpointMismatch(f"another run lives here ({'; '.join(changed)})", str(folder), "Give a new --out.")


def learn_from(folder: Path, photos: str) -> None:
    """Keep in a run what its photos are known by (`kd.data.people.photos_digest`).

    Raises CheckpointMismatch when it has learnt from others: labels and batches would no longer be those it knows.
    """
    kept = _known_photos(folder)
    if kept not in (None, photos) and has_checkpoint(folder):
        remedy = "Give a new --out, or the photos as they were."
        raise CheckpointMismatch("this run has learnt from other photos than are there now", str(folder), remedy)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / _PHOTOS, photos.encode())


def require_prepared(folder: Path, photos: str | None) -> None:
    """Raises CheckpointMismatch unless the prepared faces are of the photos that the run has learnt from.

    photos: what those are known by; None where there are none. A run that kept no word of its photos is believed.
    """
    kept = _known_photos(folder)
    if photos is None or kept not in (None, photos):
        what = "are gone" if photos is None else "were replaced by those of other photos"
        remedy = "Run the command that made the run once more: it prepares them again."
        raise CheckpointMismatch(f"the faces that this run has learnt from {what}", str(folder / "data"), remedy)


def _known_photos(folder: Path) -> str | None:
    file = folder / _PHOTOS
    return file.read_text(encoding="utf-8") if file.is_file() else None


_PHOTOS: Final = "photos.sha256"


def save_config(folder: Path, config: Settings) -> None:
    """Keep the settings of a run beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "config.json", json.dumps(config.to_dict(), indent=2).encode())


def load_config(folder: Path) -> RunConfig:
    """The settings of a run of `kd train`. Raises CheckpointMismatch when the folder holds none."""
    config = load_settings(folder)
    if not isinstance(config, RunConfig):
        raise CheckpointMismatch("a run that trained no network of its own", str(folder), _A_RUN)
    return config


def load_settings(folder: Path) -> Settings:
    """The settings of a run, whichever command made it. Raises CheckpointMismatch when the folder holds none."""
    try:
        values = json.loads((folder / "config.json").read_bytes())
        return AdaptConfig.from_dict(values) if "adaptation" in values else RunConfig.from_dict(values)
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointMismatch("no training run", str(folder), _A_RUN) from None


_A_RUN: Final = "Give the folder that kd train --out made."


def save_checkpoint(run: Run, folder: Path) -> None:
    """Everything that goes on from here, in one file that lands whole. Raises CheckpointUnwritable."""
    state = {
        "student": run.pupil.student.state_dict(),
        "criterion": run.pupil.criterion.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "average": None if run.average is None else run.average.state_dict(),
        "step": run.step,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_or_say(folder / "checkpoint.pt", buffer.getvalue())


def keep_epoch(run: Run, folder: Path, epoch: int) -> None:
    """The student after an epoch, for `multistep`: its weights alone. Raises CheckpointUnwritable."""
    (folder / "epochs").mkdir(exist_ok=True)
    weights = {name: values.contiguous() for name, values in run.pupil.student.state_dict().items()}
    write_or_say(folder / "epochs" / f"{epoch:04}.safetensors", safetensors.torch.save(weights))


def write_or_say(path: Path, data: bytes) -> None:
    """Raises CheckpointUnwritable; what was there before is then still there."""
    try:
        write_whole(path, data)
    except OSError as error:
        remedy = "Make room and run the same command again: it goes on from the last checkpoint."
        raise CheckpointUnwritable(f"cannot save ({error.strerror})", str(path), remedy) from None


def restore(run: Run, folder: Path) -> bool:
    """Go back to the last checkpoint; False when there is none yet. Raises CheckpointMismatch."""
    if not (folder / "checkpoint.pt").is_file():
        return False
    state = _load(folder / "checkpoint.pt")
    try:
        load_student(run.pupil.student, state["student"])
        run.pupil.criterion.load_state_dict(state["criterion"])
        run.optimizer.load_state_dict(state["optimizer"])
        if run.average is not None:
            run.average.load_state_dict(state["average"])
        run.step = state["step"]
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise CheckpointMismatch(f"not a checkpoint of this run ({error})", str(folder), "Give a new --out.") from None
    return True


def load_student(student: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Raises CheckpointMismatch when the weights are another network's."""
    try:
        student.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointMismatch(
            "weights of another network", reason, "Give the --backbone, --width and --side that they were trained with."
        ) from None


def begin_from(student: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Lay weights into a student; those of a smaller network of the same make grow, and compute what they computed.

    New outputs keep their initial weights, old outputs take nothing from new inputs, and a new residual block begins
    as its shortcut. At a larger side a network that weighs each place of its map meets places that it never weighed:
    it then does not compute the same. Raises CheckpointMismatch when the weights are another network's.
    Source: Chen, Goodfellow, Shlens, Net2Net (arXiv 1511.05641), with zeros where it has copies.
    """
    grown = {
        name: _grown(weights[name], values) if name in weights else _silent(name, values)
        for name, values in student.state_dict().items()
        if name in weights or _IN_A_BLOCK.search(name)
    }
    load_student(student, {**weights, **grown})


def _silent(name: str, fresh: torch.Tensor) -> torch.Tensor:
    """Of a new residual block: what it ends with is 0, so that nothing is added to the shortcut."""
    return torch.zeros_like(fresh) if _LAST_OF_A_BLOCK.search(name) else fresh


def _grown(old: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
    sizes = list(zip(old.shape, fresh.shape, strict=False))
    if old.ndim != fresh.ndim or old.shape == fresh.shape or any(small > large for small, large in sizes):
        return old
    grown = fresh.clone()
    if grown.ndim > 1:
        grown[: len(old), old.shape[1] :] = 0
    grown[tuple(slice(length) for length in old.shape)] = old
    return grown


def initial_weights(folder: Path) -> dict[str, torch.Tensor]:
    """What `--init` begins with: a Model folder's `model.safetensors`, or the student of a run."""
    exported = folder / "model.safetensors"
    return safetensors.torch.load_file(exported) if exported.is_file() else student_weights(folder)


def has_checkpoint(folder: Path) -> bool:
    """Whether a run in this folder has begun."""
    return (folder / "checkpoint.pt").is_file()


def student_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The student of the last checkpoint, averaged where the run keeps an average. Raises CheckpointMismatch."""
    file = folder / "checkpoint.pt"
    if not file.is_file():
        raise CheckpointMismatch("no checkpoint yet", str(file), "Run kd train until it saves one.")
    state = _load(file)
    if state["average"] is None:
        return dict(state["student"])
    return {name.removeprefix("module."): values for name, values in state["average"].items() if name != "n_averaged"}


def own_classifier(folder: Path) -> NDArray[np.float32]:
    """(classes, dim): the class weights that a teacher's run trained with the network."""
    state: dict[str, torch.Tensor] = _load(folder / "checkpoint.pt")["criterion"]
    return np.asarray(state["losses.none.head.weights"].numpy(), dtype=np.float32)


def trained_steps(folder: Path) -> int:
    """How many steps the last checkpoint has behind it."""
    steps: int = _load(folder / "checkpoint.pt")["step"]
    return steps


def _load(file: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(file, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        reason = next(iter(str(error).splitlines()), "empty")
        raise CheckpointMismatch(f"not a checkpoint ({reason})", str(file), "Delete it to begin again.") from None
    return state


def _comparable(config: Settings) -> dict[str, Any]:
    groups = json.loads(json.dumps(config.to_dict()))
    photos = groups.pop("photos")
    flat = {name: value for group in groups.values() for name, value in group.items()}
    return {**flat, "photos": photos, "epochs": None}
