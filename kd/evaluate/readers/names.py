"""What a protocol is called unless its user says otherwise."""

from pathlib import Path


def folder_name(folder: Path) -> str:
    """The last two names of a folder's path: `lfw/dev` -> `lfw-dev`."""
    return "-".join(part for part in folder.resolve().parts[-2:] if part != "/")
