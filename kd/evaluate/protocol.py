"""What is compared with what: LFW-style pairs and open-set identification, read from CSV."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kd.errors import ProtocolInvalid

_PAIR_FIELDS: Final = ("photo_a", "photo_b", "same", "fold")
_IDENTIFICATION_FIELDS: Final = ("photo", "subject", "role")
_ROLES: Final = ("gallery", "probe", "distractor", "nonmated")


@dataclass(frozen=True, slots=True)
class Pair:
    photo_a: str
    photo_b: str
    same: bool
    fold: int


@dataclass(frozen=True, slots=True)
class Identification:
    """Photos by the part they play: (photo, subject) each."""

    gallery: tuple[tuple[str, str], ...]
    probe: tuple[tuple[str, str], ...]
    distractor: tuple[tuple[str, str], ...]
    nonmated: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Protocol:
    pairs: tuple[Pair, ...]
    identification: Identification

    def photos(self) -> list[str]:
        """Every photo that is named, once, in a stable order."""
        ident = self.identification
        named = [photo for photo, _ in (*ident.gallery, *ident.probe, *ident.distractor, *ident.nonmated)]
        return sorted({*named, *(p.photo_a for p in self.pairs), *(p.photo_b for p in self.pairs)})


def find_protocol(folder: Path) -> Protocol:
    """The protocol in a folder with one `*identification.csv` and at most one `*pairs.csv`. Raises ProtocolInvalid."""
    identification, pairs = sorted(folder.glob("*identification.csv")), sorted(folder.glob("*pairs.csv"))
    if len(identification) != 1 or len(pairs) > 1:
        found = ", ".join(path.name for path in (*identification, *pairs)) or "nothing"
        raise ProtocolInvalid(
            f"found {found}", str(folder), "A protocol is one *identification.csv and, for 1:1, one *pairs.csv."
        )
    return read_protocol(pairs[0] if pairs else None, identification[0])


def read_protocol(pairs: Path | None, identification: Path) -> Protocol:
    """Raises ProtocolInvalid, which names the file and the line."""
    compared = (
        ()
        if pairs is None
        else tuple(
            Pair(row["photo_a"], row["photo_b"], row["same"] == "1", int(row["fold"]))
            for row in _rows(pairs, _PAIR_FIELDS)
        )
    )
    parts: dict[str, list[tuple[str, str]]] = {role: [] for role in _ROLES}
    for row in _rows(identification, _IDENTIFICATION_FIELDS):
        if row["role"] not in parts:
            raise ProtocolInvalid("no such role", row["role"], f"{identification} knows {', '.join(_ROLES)}.")
        parts[row["role"]].append((row["photo"], row["subject"]))
    for role in ("gallery", "probe", "nonmated"):
        if not parts[role]:
            raise ProtocolInvalid(
                f"no photo has the role {role}", str(identification), "An open-set protocol needs all."
            )
    return Protocol(compared, Identification(**{role: tuple(found) for role, found in parts.items()}))


def _rows(path: Path, fields: tuple[str, ...]) -> Iterator[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != fields:
                raise ProtocolInvalid("unexpected columns", str(path), f"The first line must be {','.join(fields)}.")
            yield from reader
    except OSError as error:
        raise ProtocolInvalid(str(error.strerror), str(path), "Give the path of the protocol's CSV file.") from None
