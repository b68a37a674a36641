"""A full disk: enrolling fails in words, searches go on, and enrolling works again when there is room."""

from pathlib import Path

import pytest

from index.gallery import open_gallery
from tests.index.faults.acts import Act, State, found_in, held, outcomes
from tests.index.faults.conftest import Ended, Run

CROWD = tuple(range(1000, 4000))  # more than a megabyte
ROOM = 600_000  # bytes that a file may have
NOBODY: State = frozenset()


def answered(ended: Ended) -> list[str]:
    return [told.error for told in ended.told["a"]]


def state_after(path: Path, acts: list[Act], ended: Ended) -> State:
    with open_gallery(path) as gallery:
        assert gallery.check() == []
        state = held(gallery)
    assert state in outcomes(NOBODY, acts, ended.told["a"])
    return state


@pytest.mark.parametrize(
    ("full", "room"),
    [(Act("limit", rows=(ROOM,)), Act("limit")), (Act("fault", "enospc"), Act("fault"))],
    ids=["no file may grow", "nothing can be written"],
)
def test_enrolling_fails_while_searches_go_on_and_works_again_when_there_is_room(
    path: Path, run_on_bad_disk: Run, full: Act, room: Act
) -> None:
    search = Act("search", rows=(5,))
    acts = [Act("enrol", "ada", rows=(1,)), full, Act("enrol", "crowd", rows=CROWD), search, room]
    acts += [Act("enrol", "bob", rows=(2,)), search]
    environment = {"FAULTS_FOLDER": str(path.parent), "FAULTS_KINDS": "w", "FAULTS_FOREVER": "1"}
    ended = run_on_bad_disk(path, {"a": acts}, environment)
    assert answered(ended) == ["", "", "gallery_unavailable", "", "", "", ""]
    assert state_after(path, acts, ended) == {(1, "ada"), (2, "bob")}


def test_forgetting_hides_at_once_and_erases_when_there_is_room(path: Path, run: Run) -> None:
    search = Act("search", rows=(5,))
    acts = [Act("enrol", "crowd", rows=CROWD), Act("enrol", "ada", rows=(1,)), Act("compact"), Act("reopen")]
    acts += [Act("limit", rows=(ROOM,)), Act("forget", "ada"), search, Act("reopen"), search]
    ended = run(path, {"a": acts})
    assert answered(ended) == [""] * len(acts)
    assert ended.told["a"][5].result is None
    assert found_in(path, [1]) == {1}
    assert state_after(path, acts, ended) == {(row, "crowd") for row in CROWD}
    assert found_in(path, [1]) == set()
