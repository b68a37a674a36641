"""A run on disk: its settings, and the state after its last saved step."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from faces.files import write_whole
from kd.config import RunConfig
from kd.errors import CheckpointMismatch
from kd.train import Run


def require_same_run(folder: Path, config: RunConfig) -> None:
    """Raises CheckpointMismatch, which names what differs, when the folder holds a run with other settings.

    `epochs` alone may change: a run can be given more of them, or fewer.
    """
    if (folder / "config.json").is_file():
        kept, wanted = _comparable(load_config(folder)), _comparable(config)
        changed = [f"{name} was {kept[name]!r}" for name in kept if kept[name] != wanted[name]]
        if changed:
            raise CheckpointMismatch(f"another run lives here ({'; '.join(changed)})", str(folder), "Give a new --out.")


def save_config(folder: Path, config: RunConfig) -> None:
    """Keep the settings of a run beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "config.json", json.dumps(config.to_dict(), indent=2).encode())


def load_config(folder: Path) -> RunConfig:
    """Raises CheckpointMismatch when the folder holds no run."""
    try:
        return RunConfig.from_dict(json.loads((folder / "config.json").read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointMismatch("no training run", str(folder), "Give the folder that kd train --out made.") from None


def save_checkpoint(run: Run, folder: Path) -> None:
    """Student, optimiser and step, in one file that lands whole."""
    state = {"student": run.student.state_dict(), "optimizer": run.optimizer.state_dict(), "step": run.step}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(folder / "checkpoint.pt", buffer.getvalue())


def restore(run: Run, folder: Path) -> bool:
    """Go back to the last checkpoint; False when there is none yet. Raises CheckpointMismatch."""
    if not (folder / "checkpoint.pt").is_file():
        return False
    state = _load(folder / "checkpoint.pt")
    try:
        load_student(run.student, state["student"])
        run.optimizer.load_state_dict(state["optimizer"])
        run.step = state["step"]
    except (KeyError, RuntimeError, ValueError) as error:
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


def initial_weights(folder: Path) -> dict[str, torch.Tensor]:
    """What `--init` begins with: a Model folder's `model.safetensors`, or the student of a run."""
    exported = folder / "model.safetensors"
    return safetensors.torch.load_file(exported) if exported.is_file() else student_weights(folder)


def student_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The student's state of the last checkpoint. Raises CheckpointMismatch when there is none."""
    file = folder / "checkpoint.pt"
    if not file.is_file():
        raise CheckpointMismatch("no checkpoint yet", str(file), "Run kd train until it saves one.")
    weights: dict[str, torch.Tensor] = _load(file)["student"]
    return weights


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


def _comparable(config: RunConfig) -> dict[str, Any]:
    groups = config.to_dict()
    photos = groups.pop("photos")
    flat = {name: value for group in groups.values() for name, value in group.items()}
    return {**flat, "photos": list(photos), "epochs": None}
