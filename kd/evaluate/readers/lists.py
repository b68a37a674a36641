"""LFW-style lists: `*pairs.csv` for 1:1 and `*identification.csv` for open-set 1:N, either or both."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from kd.errors import ProtocolInvalid
from kd.evaluate.protocol import Pairs, Protocol, Search, joined_subjects, photo_templates
from kd.evaluate.readers.columns import bad_line, only_file, read_columns
from kd.evaluate.readers.names import folder_name

_PAIR_FIELDS: Final = ("photo_a", "photo_b", "same", "fold")
_IDENTIFICATION_FIELDS: Final = ("photo", "subject", "role")
_ROLES: Final = ("gallery", "probe", "distractor", "nonmated")

_Pair = tuple[str, str, bool, int]
_Entries = list[tuple[str, str]]
"""(photo, subject) each."""


def read_lists(folder: Path, photos: Path | None) -> Protocol:
    """The protocol of a folder; where it has distractors, the search without them comes first.

    `photo_a` and a `probe` are what the probe model sees, `photo_b` and the gallery what was enrolled.
    Raises ProtocolInvalid, which names the file and the line.
    """
    pairs_file, identification_file = only_file(folder, "*pairs.csv"), only_file(folder, "*identification.csv")
    if pairs_file is None and identification_file is None:
        raise ProtocolInvalid(
            "found nothing", str(folder), "A protocol is one *identification.csv, one *pairs.csv, or both."
        )
    compared = _read_pairs(pairs_file) if pairs_file else []
    parts = _read_identification(identification_file) if identification_file else {}
    known = {photo: subject for entries in parts.values() for photo, subject in entries}
    genuine = [(a, b) for a, b, same, _ in compared if same]
    named = {*known, *(photo for a, b, _, _ in compared for photo in (a, b))}
    root = photos or folder
    templates, number = photo_templates(joined_subjects(named, known, genuine), root)
    return Protocol(
        folder_name(root),
        templates,
        (_pairs(compared, number),) if compared else (),
        _searches(parts, number) if parts else (),
    )


def _read_pairs(path: Path) -> list[_Pair]:
    pairs = []
    for line, (a, b, same, fold) in read_columns(path, _PAIR_FIELDS):
        if same not in ("0", "1") or not fold.isdecimal():
            raise bad_line(path, line, f"same {same!r}, fold {fold!r}", "same is 0 or 1 and fold a whole number")
        pairs.append((a, b, same == "1", int(fold)))
    if len({fold for *_, fold in pairs}) < 2:
        raise ProtocolInvalid("fewer than two folds", str(path), "A fold's threshold is chosen on the others.")
    return pairs


def _read_identification(path: Path) -> dict[str, _Entries]:
    parts: dict[str, _Entries] = {role: [] for role in _ROLES}
    known: dict[str, str] = {}
    for line, (photo, subject, role) in read_columns(path, _IDENTIFICATION_FIELDS):
        if role not in parts:
            raise bad_line(path, line, f"no such role: {role!r}", f"the roles are {', '.join(_ROLES)}")
        if known.setdefault(photo, subject) != subject:
            raise bad_line(path, line, f"photo {photo!r} of two subjects", "a photo is of one")
        parts[role].append((photo, subject))
    for role in ("gallery", "probe", "nonmated"):
        if not parts[role]:
            raise ProtocolInvalid(f"no photo has the role {role}", str(path), "An open-set protocol needs all.")
    enrolled = {subject for _, subject in parts["gallery"]}
    others = {subject for _, subject in parts["distractor"]}
    for photo, subject in parts["probe"]:
        if subject not in enrolled:
            raise ProtocolInvalid("a probe whose Subject is not in the gallery", photo, f"Correct {path}.")
    for photo, subject in parts["nonmated"]:
        if subject in enrolled | others:
            raise ProtocolInvalid("a non-mated probe whose Subject is enrolled", photo, f"Correct {path}.")
    return parts


def _pairs(compared: list[_Pair], number: Mapping[str, int]) -> Pairs:
    left, right, same, fold = zip(*((number[a], number[b], same, fold) for a, b, same, fold in compared), strict=True)
    return Pairs("", np.array(left), np.array(right), np.array(same), np.array(fold))


def _searches(parts: Mapping[str, _Entries], number: Mapping[str, int]) -> tuple[Search, ...]:
    def numbers(*roles: str) -> list[int]:
        return [number[photo] for role in roles for photo, _ in parts[role]]

    probes = np.array(numbers("probe", "nonmated"))
    galleries = [numbers("gallery")] + ([numbers("gallery", "distractor")] if parts["distractor"] else [])
    return tuple(Search("", np.array(gallery), probes) for gallery in galleries)
