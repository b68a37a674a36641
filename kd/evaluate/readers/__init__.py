"""Protocols from files and folders: a table of readers, and the words that choose one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from kd.errors import ProtocolInvalid
from kd.evaluate.protocol import Protocol, require_comparisons
from kd.evaluate.readers.evalset import read_evalset
from kd.evaluate.readers.frontal_profile import read_frontal_profile
from kd.evaluate.readers.lists import read_lists
from kd.evaluate.readers.media import read_media
from kd.evaluate.readers.people import read_people_folder

Reader = Callable[[Path, Path | None], Protocol]
"""(where the protocol is, folder that its photos are relative to) -> Protocol."""

READERS: Final[Mapping[str, Reader]] = MappingProxyType(
    {
        "lists": read_lists,
        "bin": read_evalset,
        "templates": read_media,
        "people": read_people_folder,
        "frontal-profile": read_frontal_profile,
    }
)

WITH_PATHS: Final = frozenset({"lists", "templates"})
"""Kinds whose files name photos that are kept elsewhere."""


def open_protocol(reference: str, photos: Path | None = None, *, name: str | None = None) -> Protocol:
    """The protocol that `[NAME=][KIND:]PATH` stands for; without a kind it is `lists`, a folder of CSV files.

    photos: folder that the paths in the protocol are relative to; the protocol's own unless given. name: what the
    report and the card call it where the reference does not say; the reader's choice unless given.
    Raises ProtocolInvalid.
    """
    given, kind, path = _read(reference)
    name = given or name
    if not Path(path).exists():
        known = ", ".join(f"{word}:PATH" for word in READERS)
        raise ProtocolInvalid("no such protocol", path, f"Give the path of a protocol, or one of {known}.")
    protocol = require_comparisons(READERS[kind](Path(path), photos), Path(path))
    return protocol if name is None else replace(protocol, name=name)


def open_protocols(references: Sequence[str], photos: Path | None, *, name: str | None = None) -> list[Protocol]:
    """`open_protocol` of each. Raises ProtocolInvalid as well where photos are given, and none of them takes any."""
    if photos is not None and not any(_read(reference)[1] in WITH_PATHS for reference in references):
        what = f"only {' and '.join(sorted(WITH_PATHS))} have paths that a folder of photos is for"
        raise ProtocolInvalid(what, str(photos), "Leave the folder out: these protocols hold their photos.")
    return [open_protocol(reference, photos, name=name) for reference in references]


def _read(reference: str) -> tuple[str | None, str, str]:
    """(name, where one is given; kind; path)."""
    name, equals, rest = reference.partition("=")
    given, reference = (name, rest) if equals and not Path(reference).exists() else (None, reference)
    kind, colon, path = reference.partition(":")
    return (given, kind, path) if colon and kind in READERS else (given, "lists", reference)
