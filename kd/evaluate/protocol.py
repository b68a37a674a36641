"""What is compared with what. A protocol holds no scores and no pixels of photos, only who is meant to be whom."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.align import Image
from kd.errors import ProtocolInvalid

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Template:
    """What is compared: one photo, or several of one person that are averaged into one."""

    subject: str
    media: tuple[tuple[str, ...], ...]
    """Photos, by the medium (a still, a video) that they are from: paths, or keys of `Protocol.crops`."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """1:1. Columns of equal length; `left` is shown as a probe, `right` is compared with as if it were enrolled."""

    name: str
    left: Ints
    """(n,) indices into the protocol's templates."""
    right: Ints
    same: Bools
    fold: Ints | None
    """(n,) for the accuracy, whose threshold is chosen on the other folds; None where there are no folds."""


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """1:N. A probe is mated when its Subject is enrolled, else non-mated."""

    name: str
    gallery: Ints
    """(g,) indices into the protocol's templates; several of one Subject are one Candidate."""
    probes: Ints
    """(p,) likewise."""


@dataclass(frozen=True, slots=True, eq=False)
class Protocol:
    """Everything that is asked of a Model about one set of photos."""

    name: str
    templates: tuple[Template, ...]
    pairs: tuple[Pairs, ...]
    searches: tuple[Search, ...]
    crops: Mapping[str, Image] = field(default_factory=dict)
    """Canonical crops, (128, 128, 3) RGB, of photos that are no files, by key."""

    def subjects(self) -> Ints:
        """(t,) the number of each template's Subject: 0, 1, …"""
        names = [template.subject for template in self.templates]
        return np.unique(names, return_inverse=True)[1].astype(np.int64)

    def probes(self) -> Ints:
        """Every template that is shown as a probe, once."""
        shown = [pairs.left for pairs in self.pairs] + [search.probes for search in self.searches]
        return np.unique(np.concatenate(shown))

    def photos(self, templates: Iterable[int]) -> list[str]:
        """Every photo of these templates, once, in a stable order."""
        return sorted({photo for i in templates for medium in self.templates[i].media for photo in medium})


def photo_templates(subjects: Mapping[str, str], folder: Path) -> tuple[tuple[Template, ...], dict[str, int]]:
    """A template for each photo, and photo -> its index. subjects: photo -> Subject; photos are relative to folder."""
    photos = sorted(subjects)
    templates = tuple(Template(subjects[photo], ((str(folder / photo),),)) for photo in photos)
    return templates, {photo: index for index, photo in enumerate(photos)}


def require_comparisons(protocol: Protocol, source: Path) -> Protocol:
    """The protocol itself. Raises ProtocolInvalid when a part of it has nobody to recognise, so has no rates."""
    subjects = protocol.subjects()
    for pairs in protocol.pairs:
        if pairs.same.all() or not pairs.same.any():
            raise ProtocolInvalid("pairs of one kind", str(source), "1:1 needs pairs of one person and of two.")
    for search in protocol.searches:
        if not np.isin(subjects[search.probes], subjects[search.gallery]).any():
            raise ProtocolInvalid("no probe whose Subject is enrolled", str(source), "1:N needs mated probes.")
    if not (protocol.pairs or protocol.searches):
        raise ProtocolInvalid("nothing to compare", str(source), "Give pairs, or a gallery and probes.")
    return protocol


def joined_subjects(
    photos: Iterable[str], known: Mapping[str, str], genuine: Sequence[tuple[str, str]]
) -> dict[str, str]:
    """Photo -> Subject, where some Subjects are known and the others are what genuine pairs connect.

    Resampling people needs to know which photos are of one person. A group that nobody names is called by its first
    photo; a photo in no genuine pair is a Subject of its own.
    """
    parent = {photo: photo for photo in photos}

    def root(photo: str) -> str:
        while parent[photo] != photo:
            parent[photo] = parent[parent[photo]]
            photo = parent[photo]
        return photo

    for a, b in genuine:
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    named = {root(photo): known[photo] for photo in sorted(parent, reverse=True) if photo in known}
    return {photo: known.get(photo, named.get(root(photo), root(photo))) for photo in parent}
