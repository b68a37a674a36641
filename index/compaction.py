"""How a cache's rows are laid out anew: the delta into a segment, small segments into larger ones, erased rows away.

Pure: a plan is made from one Snapshot, its segments are built without a lock, and what was erased or moved meanwhile is
carried over when the result takes the old parts' place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from faces.embed import Vectors
from index.flat import Flat, empty, flat
from index.rows import Numbers
from index.search import Mask, Part, Snapshot, off_unit
from index.segment import Segment

SEGMENT_ROWS: Final = 131_072
"""The most in one segment: what forgetting somebody has to write anew."""

FEWEST: Final = 4096
"""Rows that are worth a segment."""

_SHARE: Final = 16  # the delta holds up to a sixteenth of all
_LARGEST: Final = 8192  # and no more: at four bytes a number they take as long to scan as four times as many codes
_DEAD: Final = 0.2  # of a segment's rows
_LARGER: Final = 2  # a segment is merged with what comes after it unless it is more than twice as large


@dataclass(frozen=True, slots=True)
class Rule:
    """When something is to be laid out anew."""

    delta: int
    """The delta becomes a segment when it has more rows than this."""
    dead: float
    """A segment is rewritten when a larger share of its rows than this was erased."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which parts become one, by their places in `Snapshot.parts`; the delta has the last."""

    groups: tuple[tuple[int, ...], ...]
    erases: bool
    """Whether the delta, too, is to lose its erased rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """A group's segment, and which rows of which part its rows were, one after the other."""

    group: tuple[int, ...]
    sources: tuple[Numbers, ...]
    segment: Segment | None
    """None: nothing was left of them."""
    off: float


def due(snapshot: Snapshot) -> Rule:
    """What is worth the work."""
    rows = sum(len(part.rows) for part in snapshot.segments)
    return Rule(min(max(FEWEST, rows // _SHARE), _LARGEST), _DEAD)


ERASING: Final = Rule(delta=SEGMENT_ROWS, dead=0.0)
"""No erased row stays."""

EVERYTHING: Final = Rule(delta=0, dead=0.0)


def plan(snapshot: Snapshot, rule: Rule) -> Plan | None:
    """What this rule asks for; None: nothing."""
    dead = [1 - part.living / len(part.rows) if len(part.rows) else 0.0 for part in snapshot.parts]
    groups: list[tuple[int, ...]] = [(at,) for at in range(len(snapshot.segments)) if dead[at] > rule.dead]
    if len(snapshot.delta.rows) > rule.delta:
        tail = _tail(snapshot)
        groups = [*(group for group in groups if group[0] < tail[0]), tail]
    erases = dead[-1] > 0 and rule.dead == 0
    return Plan(tuple(groups), erases) if groups or erases else None


def _tail(snapshot: Snapshot) -> tuple[int, ...]:
    """The delta and the segments before it that are to be merged with it."""
    first, rows = len(snapshot.segments), snapshot.delta.living
    while first and snapshot.segments[first - 1].living <= min(_LARGER * rows, SEGMENT_ROWS - rows):
        first -= 1
        rows += snapshot.segments[first].living
    return tuple(range(first, len(snapshot.segments) + 1))


def build(snapshot: Snapshot, group: tuple[int, ...]) -> Built:
    """The segment of one group. The one costly step."""
    parts = [snapshot.parts[at] for at in group]
    sources = tuple(part.alive_rows() for part in parts)
    both = list(zip(parts, sources, strict=True))
    ids = np.concatenate([part.rows.ids[rows] for part, rows in both])
    if not len(ids):
        return Built(group, sources, None, 0.0)
    owners = np.concatenate([part.rows.owners[rows] for part, rows in both])
    vectors = np.concatenate([part.rows.rows_of(rows) for part, rows in both])
    return Built(group, sources, Segment.build(ids, owners, vectors), off_unit(vectors))


def published(now: Snapshot, before: Snapshot, plan: Plan, built: Sequence[Built]) -> Snapshot:
    """`now` with the groups of `plan` replaced; `now` came from `before` within one generation."""
    replaced = {at for result in built for at in result.group}
    at_place = {result.group[0]: result for result in built}
    segments: list[Part[Segment]] = []
    for at in range(len(now.segments) + 1):
        if at in at_place:
            segments += _carried_over(now, at_place[at])
        elif at not in replaced and at < len(now.segments):
            segments.append(now.segments[at])
    flushed = len(before.delta.rows) if len(now.segments) in replaced else 0
    delta = _rest(now.delta, flushed) if flushed or plan.erases else now.delta
    return replace(now, segments=tuple(segments), delta=delta, generation=now.generation + 1)


def _carried_over(now: Snapshot, built: Built) -> list[Part[Segment]]:
    """What was built, with what happened to its rows since."""
    if built.segment is None:
        return []
    both = [(now.parts[at], rows) for at, rows in zip(built.group, built.sources, strict=True)]
    owners = np.concatenate([part.rows.owners[rows] for part, rows in both])
    alive = np.concatenate([_alive(part.alive, rows) for part, rows in both])
    moved = not np.array_equal(owners, built.segment.owners)
    segment = built.segment.with_owners(owners) if moved else built.segment
    return [Part(segment, built.off, None if alive.all() else alive)]


def _alive(mask: Mask | None, rows: Numbers) -> Mask:
    return np.ones(len(rows), np.bool_) if mask is None else mask[rows]


def _rest(delta: Part[Flat], start: int) -> Part[Flat]:
    """Copies of the rows that count from `start` on."""
    kept = delta.alive_rows()
    kept = kept[kept >= start]
    rows = delta.rows
    return Part(flat(rows.ids[kept], rows.owners[kept], rows.vectors[kept]), delta.off)


class Growing:
    """A Snapshot to which many rows are added: as many as make a segment become one at once."""

    def __init__(self, start: Snapshot) -> None:
        self._segments, self._delta, self._generation = list(start.segments), start.delta, start.generation

    def add(self, ids: Numbers, owners: Numbers, vectors: Vectors) -> None:
        """ids: rising, and higher than all before."""
        alive = self._delta.alive
        self._delta = Part(
            self._delta.rows.extended(ids, owners, vectors),
            max(self._delta.off, off_unit(vectors)),
            None if alive is None else np.concatenate([alive, np.ones(len(ids), np.bool_)]),
        )
        if len(self._delta.rows) >= SEGMENT_ROWS:
            self.settle()

    def settle(self) -> None:
        """Make a segment of the delta."""
        rows, kept = self._delta.rows, self._delta.alive_rows()
        vectors = rows.vectors[kept]
        if len(kept):
            segment = Segment.build(rows.ids[kept], rows.owners[kept], vectors)
            self._segments.append(Part(segment, off_unit(vectors)))
        self._delta = Part(empty(rows.dim), 0.0)
        self._generation += 1

    def __len__(self) -> int:
        """Rows of the delta."""
        return len(self._delta.rows)

    def at(self, seq: int, last: int) -> Snapshot:
        return Snapshot(seq, last, tuple(self._segments), self._delta, self._generation)
