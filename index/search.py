"""The cache as one moment's search sees it: parts that are scanned, and an exact answer made of what they bring up."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from faces.embed import Vectors
from index.flat import Flat, empty
from index.rows import Numbers
from index.scan import Scan
from index.segment import Segment

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_FIRST_DEPTH: Final = 128  # rows asked of each part, at least
_PER_CANDIDATE: Final = 4  # and for each Candidate wanted
_DEEPER: Final = 4
_LENGTHS: Final = 1.01  # of a probe times a row, at most
_HIGHEST: Final = 1.0  # what a cosine is cut to


class Rows(Protocol):
    """Rows that are never changed, so that any number of threads may read them at once."""

    @property
    def ids(self) -> Numbers:
        """(n,) Template ids, rising."""
        ...

    @property
    def owners(self) -> Numbers:
        """(n,) number of the Subject of each."""
        ...

    @property
    def dim(self) -> int: ...

    def __len__(self) -> int: ...

    def rows_of(self, rows: Numbers) -> Vectors:
        """(k,) row numbers -> (k, dim) float32, the numbers that are stored."""
        ...

    def with_owners(self, owners: Numbers) -> Self:
        """The same rows, of these Subjects."""
        ...


class Scans(Protocol):
    """What finds the nearest rows of segments: on the processor `index.scan.Scanner`, or another engine.

    No score that it gives is off by more than the slack. An exact engine leaves out only rows that score less, up to
    the slack; an approximate one may leave out others as well, which nobody looks for: what it says was not brought up
    counts as farther away.
    """

    def scan(self, parts: Sequence[tuple[Segment, Mask | None]], probes: Vectors, depth: int) -> Scan:
        """The `depth` nearest living rows of all parts together, for each probe (m, dim). See Scan."""
        ...


@dataclass(frozen=True, slots=True)
class Hit:
    score: float
    template: int
    subject: int
    """The Subject's number."""


Held = TypeVar("Held", bound=Rows, covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class Part(Generic[Held]):
    """Rows, and which of them still count."""

    rows: Held
    off: float
    """How far from 1 the length of a row is, at most: what rounding to fp16 did to it."""
    alive: Mask | None = None
    """(n,); None: all."""
    file: str = ""
    """The name of the snapshot file that holds exactly these rows; empty: none does."""

    @property
    def living(self) -> int:
        return len(self.rows) if self.alive is None else int(np.count_nonzero(self.alive))

    def alive_rows(self) -> Numbers:
        """Row numbers of those that count."""
        return np.arange(len(self.rows)) if self.alive is None else np.flatnonzero(self.alive)

    def row_of(self, template: int) -> int | None:
        """The row number of a Template that is here and counts."""
        row = int(np.searchsorted(self.rows.ids, template))
        here = row < len(self.rows) and self.rows.ids[row] == template
        return row if here and (self.alive is None or self.alive[row]) else None

    def without(self, rows: Sequence[int]) -> "Part[Held]":
        if not rows:
            return self
        alive = np.ones(len(self.rows), np.bool_) if self.alive is None else self.alive.copy()
        alive[list(rows)] = False
        return replace(self, alive=alive)

    def moved(self, owners: Mapping[int, int]) -> "Part[Held]":
        """Row number -> the Subject that has it now."""
        if not owners:
            return self
        changed = self.rows.owners.copy()
        changed[list(owners)] = list(owners.values())
        return replace(self, rows=self.rows.with_owners(changed), file="")


def off_unit(vectors: Vectors) -> float:
    """How far from 1 the length of these rows is, at most. (n, dim)."""
    return float(np.abs(np.linalg.norm(vectors, axis=1) - 1).max(initial=0)) + 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The Templates of a collection as of one moment. Never changed, so searched without a lock."""

    seq: int
    """Of the last operation that is in it."""
    last: int
    """Every Template whose id is higher came later, whatever collection it is of."""
    segments: tuple[Part[Segment], ...]
    """Their ids rise from one to the next."""
    delta: Part[Flat]
    """What came after them."""
    generation: int
    """Rises when rows change places: within one, parts only lose rows, change owners, or grow at the delta's end."""

    @property
    def parts(self) -> tuple[Part[Rows], ...]:
        return (*self.segments, self.delta)

    @property
    def living(self) -> int:
        """Templates that count."""
        return sum(part.living for part in self.parts)

    @property
    def erased(self) -> bool:
        """Whether any segment has rows that no longer count."""
        return any(part.alive is not None for part in self.segments)

    def changed(self, erased: Sequence[int], moved: Mapping[int, int]) -> "Snapshot":
        """Without the Templates `erased`, and with those of `moved` at another Subject; any may not be here."""
        if not erased and not moved:
            return self
        segments = tuple(_changed(part, erased, moved) for part in self.segments)
        return replace(self, segments=segments, delta=_changed(self.delta, erased, moved))

    def kept_in(self, files: Sequence[str], written: "Snapshot") -> "Snapshot":
        """With the names of the files that the segments of `written` are in; of the same generation."""
        segments = tuple(
            replace(part, file=file) if part.rows is old.rows else part
            for part, old, file in zip(self.segments, written.segments, files, strict=True)
        )
        return replace(self, segments=segments)

    def search(self, probes: Vectors, k: int, engine: Scans) -> list[list[Hit]]:
        """The best Template of each of the k nearest Subjects, for every probe (n, dim); best first.

        Exact where the engine is: what is asked for grows until nothing that was kept back could still come in. Scores
        are exact whatever the engine, computed anew in float64 from the rows as stored, so that equal rows score equal
        wherever they lie, and equal scores go to the older Template.
        """
        both = (self._in_segments(engine), self._in_delta())
        scanned = [_Scanned(source, probes, max(_FIRST_DEPTH, _PER_CANDIDATE * k)) for source in both if source.living]
        found = [_best(scanned, probe, row, k) for probe, row in enumerate(probes)]
        unsure = np.arange(len(probes))
        while len(unsure):
            floors = np.array([found[probe][k - 1].score if len(found[probe]) == k else -np.inf for probe in unsure])
            deeper = [part.look_deeper(unsure[part.may_hide(unsure, floors)]) for part in scanned]
            unsure = np.unique(np.concatenate([*deeper, unsure[:0]]))
            for probe in unsure.tolist():
                found[probe] = _best(scanned, probe, probes[probe], k)
        return found

    def _in_segments(self, engine: Scans) -> "_Source":
        parts = [(part.rows, part.alive) for part in self.segments]
        return _Source(self.segments, lambda probes, depth: engine.scan(parts, probes, depth))

    def _in_delta(self) -> "_Source":
        return _Source((self.delta,), lambda probes, depth: self.delta.rows.scan(probes, depth, self.delta.alive))

    def locate(self, ids: Numbers) -> tuple[Numbers, Vectors, Mask]:
        """Owners (n,), vectors (n, dim) and presence (n,) of these Template ids."""
        owners, there = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.bool_)
        vectors = np.zeros((len(ids), self.dim), np.float32)
        for part in self.parts:
            if not len(part.rows):
                continue
            rows = np.minimum(np.searchsorted(part.rows.ids, ids), len(part.rows) - 1)
            here = part.rows.ids[rows] == ids
            if part.alive is not None:
                here &= part.alive[rows]
            owners[here], vectors[here], there[here] = part.rows.owners[rows[here]], part.rows.rows_of(rows[here]), True
        return owners, vectors, there

    @property
    def dim(self) -> int:
        return self.delta.rows.dim

    def codes_of(self, templates: Sequence[int]) -> list[tuple[int, bytes]]:
        """Id and code of those that are scanned by one: the newest are not."""
        return [
            (template, part.rows.code_of(row))
            for part in self.segments
            for template in templates
            if (row := part.row_of(template)) is not None
        ]

    def ids_and_owners(self) -> tuple[Numbers, Numbers]:
        """Of all that count, (n,) each; ids rise."""
        kept = [(part.rows.ids[rows], part.rows.owners[rows]) for part in self.parts for rows in (part.alive_rows(),)]
        return np.concatenate([ids for ids, _ in kept]), np.concatenate([owners for _, owners in kept])


def _changed(part: Part[Held], erased: Sequence[int], moved: Mapping[int, int]) -> Part[Held]:
    owners = {row: subject for template, subject in moved.items() if (row := part.row_of(template)) is not None}
    rows = [row for template in erased if (row := part.row_of(template)) is not None]
    return part.moved(owners).without(rows)


class _Source:
    """Parts that are scanned together; their rows are counted through all of them in turn."""

    def __init__(self, parts: Sequence[Part[Rows]], scan: Callable[[Vectors, int], Scan]) -> None:
        self.scan = scan
        self.living = sum(part.living for part in parts)
        self.off = max((part.off for part in parts), default=0.0)
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part.rows) for part in parts)])

    def owners(self, rows: Numbers) -> Numbers:
        """(k,) rows -> (k,) the Subject of each."""
        owners = np.empty(len(rows), np.int64)
        for part, chosen, local in self._split(rows):
            owners[chosen] = part.rows.owners[local]
        return owners

    def ids_and_scores(self, rows: Numbers, probe: Vectors) -> tuple[Numbers, Floats]:
        """(k,) rows -> Template ids and exact scores, (k,) each."""
        ids, scores = np.empty(len(rows), np.int64), np.empty(len(rows))
        for part, chosen, local in self._split(rows):
            ids[chosen], scores[chosen] = part.rows.ids[local], cosines(part.rows.rows_of(local), probe)
        return ids, scores

    def _split(self, rows: Numbers) -> Iterator[tuple[Part[Rows], Mask, Numbers]]:
        """Each part that some of the rows are in, which these are, and their row numbers there."""
        places = np.searchsorted(self._starts, rows, side="right") - 1
        for place in np.unique(places):
            chosen = places == place
            yield self._parts[place], chosen, rows[chosen] - self._starts[place]


class _Scanned:
    """What a source has brought up so far for each probe, and how high what it keeps back may score."""

    def __init__(self, source: _Source, probes: Vectors, depth: int) -> None:
        self.source = source
        self._probes = probes
        self._error = np.zeros(len(probes))
        self._depth = 0
        self._near: list[tuple[Floats, Numbers]] = [(np.empty(0), np.empty(0, np.int64))] * len(probes)
        self._hidden = np.full(len(probes), np.inf)  # no row that was not brought up scores higher; -inf: there is none
        self._look(np.arange(len(probes)), depth)

    def may_hide(self, which: Numbers, floors: Floats) -> Mask:
        """Whether rows that were not brought up may score as high as these floors."""
        mask: Mask = (self._hidden[which] >= floors) & (self._hidden[which] > -np.inf)
        return mask

    def look_deeper(self, which: Numbers) -> Numbers:
        """Bring up more for these probes; the same again."""
        if len(which):
            self._look(which, self._depth * _DEEPER)
        return which

    def near(self, probe: int) -> tuple[Floats, Floats, Numbers, Numbers]:
        """Of each row brought up: the lowest and the highest it may score, its number, its Subject."""
        scores, rows = self._near[probe]
        return scores - self._error[probe], scores + self._error[probe], rows, self.source.owners(rows)

    def _look(self, which: Numbers, depth: int) -> None:
        depth = min(depth, self.source.living)
        found = self.source.scan(self._probes[which], depth)
        self._depth = max(self._depth, depth)
        scores = found.scores.astype(np.float64)
        error = found.slack.astype(np.float64) + _LENGTHS * self.source.off
        self._error[which] = error
        self._hidden[which] = scores[:, -1] + error if depth < self.source.living else -np.inf
        for probe, near, rows in zip(which.tolist(), scores, found.rows, strict=True):
            self._near[probe] = near[rows >= 0], rows[rows >= 0]


def _best(scanned: Sequence[_Scanned], number: int, probe: Vectors, k: int) -> list[Hit]:
    """The best Hits among what was brought up for a probe (dim,)."""
    if not scanned:
        return []
    near = [each.near(number) for each in scanned]
    reached = _reached_by(
        k, np.concatenate([low for low, *_ in near]), np.concatenate([subject for *_, subject in near])
    )
    ids, scores, owners = [], [], []
    for each, (_, high, rows, subjects) in zip(scanned, near, strict=True):
        kept = high >= reached
        some_ids, some_scores = each.source.ids_and_scores(rows[kept], probe)
        ids.append(some_ids)
        scores.append(some_scores)
        owners.append(subjects[kept])
    return _first_of_each(np.concatenate(scores), np.concatenate(ids), np.concatenate(owners), k)


def _reached_by(k: int, lowest: Floats, owners: Numbers) -> float:
    """A score that at least k Subjects reach; -inf when there are fewer."""
    order = np.argsort(-lowest)
    _, first = np.unique(owners[order], return_index=True)
    if len(first) < k:
        return -np.inf
    return min(float(lowest[order[np.sort(first)[k - 1]]]), _HIGHEST)


def _first_of_each(scores: Floats, ids: Numbers, owners: Numbers, k: int) -> list[Hit]:
    order = np.lexsort((ids, -scores))
    _, first = np.unique(owners[order], return_index=True)
    return [Hit(float(scores[i]), int(ids[i]), int(owners[i])) for i in order[np.sort(first)[:k]]]


def cosines(rows: Vectors, probe: Vectors) -> Floats:
    """(n, dim) rows as stored, (dim,) of unit length -> (n,). Equal rows score equal wherever they lie."""
    exact = rows.astype(np.float64)
    lengths = np.sqrt((exact * exact).sum(axis=1))
    scores: Floats = np.minimum((exact * probe).sum(axis=1) / lengths, _HIGHEST)
    return scores


def nothing(dim: int) -> Snapshot:
    """Of a collection in which nothing was ever written."""
    return Snapshot(0, 0, (), Part(empty(dim), 0.0), 0)
