"""SIGKILL at any moment: what was answered is there, what was forgotten is not, and the gallery opens."""

import random
from pathlib import Path

import pytest

from index.gallery import create_gallery, open_gallery
from tests.index.fakes import SPACE, random_rows
from tests.index.faults.acts import Act, State, after, found_in, held, is_right, load, outcomes, perform, rows_of
from tests.index.faults.conftest import Ended, Run

LANES = ("a", "b")
ACTS = 60  # a lane and round, of which the kill leaves fewer
LONGEST = 0.01  # seconds


@pytest.mark.parametrize("rounds", [20, pytest.param(200, marks=pytest.mark.nightly)])
def test_a_kill_at_any_moment_of_a_mixed_load_loses_and_brings_back_nothing(path: Path, run: Run, rounds: int) -> None:
    create_gallery(path, SPACE).close()
    dice = random.Random(rounds)  # noqa: S311
    state, enrolled, killed = frozenset[tuple[int, str]](), set[int](), 0
    for turn in range(rounds):
        lanes = {lane: lane_of(state, lane, turn) for lane in LANES}
        ended = run(path, lanes, kill_after=dice.randrange(30), delay=dice.uniform(0, LONGEST))
        killed += ended.status == -9
        enrolled |= rows_of({lane: acts[: len(ended.told[lane])] for lane, acts in lanes.items()})
        assert found_in(path, erased(lanes, ended, state)) == set()
        state = found_after(path, lanes, ended, state, probe=turn)
        assert found_in(path, enrolled - {row for row, _ in state}) == set()
    assert killed == rounds


def lane_of(state: State, lane: str, turn: int) -> list[Act]:
    there = {subject for _, subject in state if subject.startswith(lane)}
    first = (turn * len(LANES) + LANES.index(lane)) * 2 * ACTS
    return list(load(turn, lane, there, first, ACTS))


def part_of(state: State, lane: str) -> State:
    return frozenset(item for item in state if item[1].startswith(lane))


def erased(lanes: dict[str, list[Act]], ended: Ended, before: State) -> set[int]:
    """The rows whose erasure was answered."""
    gone: set[int] = set()
    for lane, acts in lanes.items():
        state = part_of(before, lane)
        for act, answer in zip(acts, ended.told[lane], strict=False):
            if act.kind == "forget" and answer.result:
                gone |= {row for row, subject in state if subject == act.subject}
            state = after(state, act)
    return gone


def found_after(path: Path, lanes: dict[str, list[Act]], ended: Ended, before: State, probe: int) -> State:
    """What the gallery holds when it is opened again: one of the states that the answers allow, everywhere alike."""
    with open_gallery(path) as gallery:
        assert gallery.check() == []
        state = held(gallery)
        for lane, acts in lanes.items():
            told = ended.told[lane]
            assert all(not answer.error for answer in told[:-1])
            assert part_of(state, lane) in outcomes(part_of(before, lane), acts[: len(told)], told, lane)
        found = perform(gallery, Act("search", rows=(probe,)))
        assert is_right(found, state, random_rows(1, seed=probe)[0])
    return state
