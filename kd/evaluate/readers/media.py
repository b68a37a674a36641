"""IJB-style templates: several stills and video frames of a person, averaged into one before they are compared.

A folder of three CSV files, in the style of IJB-B and IJB-C:

- `*media.csv` `template,subject,medium,photo`: a line for each photo of each template;
- `*template_pairs.csv` `template_a,template_b`: 1:1; whether they are the same follows from their subjects;
- `*template_search.csv` `template,part`: `probe`, or the name of the gallery that enrols it (G1, G2).

Every probe is searched in every gallery: with two disjoint ones it is mated in one and non-mated in the other.
Source: Maze et al., IARPA Janus Benchmark C, 2018, the 1:1 and 1:N mixed-media protocols.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from kd.errors import ProtocolInvalid
from kd.evaluate.protocol import Ints, Pairs, Protocol, Search, Template
from kd.evaluate.readers.columns import bad_line, only_file, read_columns
from kd.evaluate.readers.names import folder_name

_MEDIA_FIELDS: Final = ("template", "subject", "medium", "photo")
_PAIR_FIELDS: Final = ("template_a", "template_b")
_SEARCH_FIELDS: Final = ("template", "part")
_PROBE: Final = "probe"


def read_media(folder: Path, photos: Path | None) -> Protocol:
    """Raises ProtocolInvalid, which names the file and the line."""
    media_file = only_file(folder, "*media.csv")
    if media_file is None:
        raise ProtocolInvalid("found no *media.csv", str(folder), f"It holds the lines {','.join(_MEDIA_FIELDS)}.")
    root = photos or folder
    templates = _read_templates(media_file, root)
    number = {key: index for index, key in enumerate(templates)}
    pairs_file, search_file = only_file(folder, "*template_pairs.csv"), only_file(folder, "*template_search.csv")
    ordered = tuple(templates.values())
    return Protocol(
        folder_name(root),
        ordered,
        (_read_pairs(pairs_file, number, ordered),) if pairs_file else (),
        _read_searches(search_file, number) if search_file else (),
    )


def _read_templates(path: Path, root: Path) -> dict[str, Template]:
    subjects: dict[str, str] = {}
    media: dict[str, dict[str, list[str]]] = {}
    for line, (template, subject, medium, photo) in read_columns(path, _MEDIA_FIELDS):
        if subjects.setdefault(template, subject) != subject:
            raise bad_line(path, line, f"template {template!r} of two subjects", "a template is of one")
        media.setdefault(template, {}).setdefault(medium, []).append(str(root / photo))
    return {
        template: Template(subjects[template], tuple(tuple(photos) for photos in found.values()))
        for template, found in media.items()
    }


def _numbered(path: Path, line: int, template: str, number: Mapping[str, int]) -> int:
    if template not in number:
        raise bad_line(path, line, f"no such template: {template!r}", "*media.csv must list its photos")
    return number[template]


def _read_pairs(path: Path, number: Mapping[str, int], templates: tuple[Template, ...]) -> Pairs:
    both: Ints = np.array(
        [[_numbered(path, line, key, number) for key in row] for line, row in read_columns(path, _PAIR_FIELDS)],
        dtype=np.int64,
    ).reshape(-1, 2)
    subjects = np.array([template.subject for template in templates])
    return Pairs("", both[:, 0], both[:, 1], subjects[both[:, 0]] == subjects[both[:, 1]], None)


def _read_searches(path: Path, number: Mapping[str, int]) -> tuple[Search, ...]:
    parts: dict[str, list[int]] = {}
    for line, (template, part) in read_columns(path, _SEARCH_FIELDS):
        parts.setdefault(part, []).append(_numbered(path, line, template, number))
    probes = parts.pop(_PROBE, [])
    if not (probes and parts):
        raise ProtocolInvalid("no probe or no gallery", str(path), "1:N needs templates of both parts.")
    return tuple(Search(name, np.array(gallery), np.array(probes)) for name, gallery in sorted(parts.items()))
