"""What a gallery is made to do while it is disturbed, and what it may hold and answer afterwards.

An act that was answered took effect. One that ended in an error, or was under way when the process died, took effect or
did not. So a list of acts leaves a set of states, and what is found must be one of them.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from index.backup import back_up
from index.gallery import LocalGallery
from tests.index.fakes import SPACE, cosine, random_rows, templates

KINDS: Final = ("enrol", "again", "forget", "merge", "search", "compact", "backup")
WEIGHTS: Final = (8, 2, 2, 2, 4, 1, 1)
NEW_YEAR: Final = datetime(2027, 1, 1, tzinfo=UTC)
EVERYBODY: Final = 100_000
State = frozenset[tuple[int, str]]
"""(row, Subject that has it): a row is the seed of its embedding."""


@dataclass(frozen=True, slots=True)
class Act:
    kind: Literal["enrol", "forget", "merge", "search", "compact", "backup", "reopen", "limit", "fault"]
    subject: str = ""
    into: str = ""
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to an act."""

    result: Any = None
    error: str = ""
    """The code of the FacesError that it ended in."""


NOTHING: Final = Told(error="none came")


def perform(gallery: LocalGallery, act: Act) -> Any:
    """The answer, as JSON can say it."""
    if act.kind == "enrol":
        rows = [random_rows(1, seed=row)[0] for row in act.rows]
        photos = [templates(row, source=f"{number:064x}")[0] for row, number in zip(rows, act.rows, strict=True)]
        return gallery.enrol(act.subject, photos, space=SPACE)
    if act.kind == "forget":
        return gallery.forget(act.subject).erased_at
    if act.kind == "merge":
        return gallery.merge(act.subject, act.into)
    if act.kind == "search":
        (found,) = gallery.search(random_rows(1, seed=act.rows[0]), EVERYBODY, space=SPACE)
        return [(candidate.subject_id, candidate.score) for candidate in found]
    if act.kind == "backup":
        return back_up(gallery.path, None, NEW_YEAR + timedelta(seconds=act.rows[0])).templates
    return gallery.compact()


def load(seed: int, lane: str, there: Iterable[str], first_row: int, count: int) -> Iterator[Act]:
    """A mixed load on Subjects whose ids start with `lane`; `there`: those to begin with."""
    dice = random.Random(f"{seed}{lane}")  # noqa: S311
    people = sorted(there)
    for number in range(first_row, first_row + 2 * count, 2):
        kind = dice.choices(KINDS, WEIGHTS)[0]
        if kind == "search":
            yield Act("search", rows=(number,))
        elif kind == "compact":
            yield Act("compact")
        elif kind == "backup":
            yield Act("backup", rows=(number,))
        elif kind == "enrol" or len(people) < 3:
            people.append(f"{lane}{number}")
            yield Act("enrol", people[-1], rows=(number, number + 1))
        elif kind == "again":
            yield Act("enrol", dice.choice(people), rows=(number,))
        else:
            gone = people.pop(dice.randrange(len(people)))
            yield Act("forget", gone) if kind == "forget" else Act("merge", gone, dice.choice(people))


def after(state: State, act: Act) -> State:
    """The state that an act makes of another."""
    there = {subject for _, subject in state}
    if act.kind == "enrol":
        return state | {(row, act.subject) for row in act.rows}
    if act.kind == "forget":
        return frozenset(item for item in state if item[1] != act.subject)
    if act.kind == "merge" and {act.subject, act.into} <= there:
        return frozenset((row, act.into if subject == act.subject else subject) for row, subject in state)
    return state


def outcomes(start: State, acts: Sequence[Act], told: Sequence[Told], lane: str = "") -> set[State]:
    """The states that these acts may have left. Fails when an answer on the way was right for none.

    What ended in an error may come true later: a commit that could not be synced is in the log, though nobody sees it,
    until the next write takes its place or the store is opened anew. So states are pairs of what is seen and what may
    yet be.
    """
    pairs = {(start, start)}
    for act, answer in zip(acts, told, strict=True):
        seen = {state for pair in pairs for state in pair}
        if act.kind == "search" and not answer.error:
            probe = random_rows(1, seed=act.rows[0])[0]
            found = [(subject, score) for subject, score in answer.result if subject.startswith(lane)]
            pairs = {(state, later) for state, later in pairs if is_right(found, state, probe)} | {
                (state, state) for state in seen if is_right(found, state, probe)
            }
            assert pairs, f"a wrong answer: {found}"
        elif answer.error:
            pairs |= {(state, after(state, act)) for state in seen} | {(after(state, act),) * 2 for state in seen}
        elif act.kind in ("enrol", "forget", "merge"):
            pairs = {(after(state, act),) * 2 for state in seen}
    return {state for pair in pairs for state in pair}


def is_right(found: Sequence[tuple[str, float]], state: State, probe: Any) -> bool:
    """Whether this is every Subject with the score of its nearest row, best first."""
    best: dict[str, float] = {}
    for row, subject in state:
        best[subject] = max(best.get(subject, -1.0), score_of(row, probe))
    return dict(found) == best and [score for _, score in found] == sorted(best.values(), reverse=True)


def score_of(row: int, probe: Any) -> float:
    return cosine(random_rows(1, seed=row)[0], probe)


def held(gallery: LocalGallery) -> State:
    """What is in a gallery, by its own word."""
    return frozenset(
        (int(template.source, 16), subject.subject_id)
        for subject in gallery.subjects(EVERYBODY)
        for template in gallery.templates(subject.subject_id)
    )


def found_in(path: Path, rows: Iterable[int]) -> set[int]:
    """Those of these rows whose embeddings are in a file of the store at `path`."""
    files = [file for file in path.parent.rglob("*") if file.is_file()]
    data = b"\0".join(file.read_bytes() for file in files)
    return {row for row in rows if random_rows(1, seed=row)[0].astype("<f2").tobytes() in data}


def rows_of(acts: Mapping[str, Sequence[Act]]) -> set[int]:
    """All that were to be enrolled."""
    return {row for lane in acts.values() for act in lane if act.kind == "enrol" for row in act.rows}
