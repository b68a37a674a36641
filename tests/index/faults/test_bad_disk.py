"""A disk that fails at any one call, or from one call on: an error in words or success, and then what was answered."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from index.gallery import open_gallery
from tests.index.fakes import random_rows
from tests.index.faults.acts import Act, State, found_in, held, is_right, outcomes, perform, rows_of
from tests.index.faults.conftest import Ended, Run

LANE = "a"
SCENARIO: Final[Sequence[Act]] = (
    Act("enrol", "ada", rows=(10, 11)),
    Act("enrol", "bob", rows=(12,)),
    Act("compact"),
    Act("enrol", "eve", rows=(13, 14)),
    Act("search", rows=(2,)),
    Act("backup", rows=(1,)),
    Act("forget", "bob"),
    Act("merge", "eve", "ada"),
    Act("enrol", "kim", rows=(15,)),
    Act("reopen"),
    Act("search", rows=(3,)),
    Act("forget", "kim"),
    Act("enrol", "zoe", rows=(16,)),
    Act("compact"),
    Act("search", rows=(4,)),
)
NOBODY: Final[State] = frozenset()
HOWS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "one call fails": {"FAULTS_HOW": "eio"},
        "all fail from one on": {"FAULTS_HOW": "eio", "FAULTS_FOREVER": "1"},
        "one finds no room": {"FAULTS_HOW": "enospc", "FAULTS_KINDS": "wn"},
        "none finds room from one on": {"FAULTS_HOW": "enospc", "FAULTS_KINDS": "w", "FAULTS_FOREVER": "1"},
        "no sync works from one on": {"FAULTS_HOW": "eio", "FAULTS_KINDS": "s", "FAULTS_FOREVER": "1"},
        "one write is cut short": {"FAULTS_HOW": "short", "FAULTS_KINDS": "w"},
        "the process dies at one call": {"FAULTS_HOW": "die", "FAULTS_KINDS": "wsn"},
        "the process dies half way through a write": {"FAULTS_HOW": "torn", "FAULTS_KINDS": "w"},
    }
)
KILLED: Final = -9


@pytest.mark.parametrize("how", HOWS.values(), ids=HOWS)
@pytest.mark.parametrize(
    ("scenario", "sample"),
    [
        pytest.param((), 12, id="creating"),
        pytest.param(SCENARIO, 9, id="all"),
        pytest.param(SCENARIO, 100_000, id="all, at every call", marks=pytest.mark.nightly),
    ],
)
def test_a_bad_disk(
    tmp_path: Path, run_on_bad_disk: Run, how: Mapping[str, str], scenario: Sequence[Act], sample: int
) -> None:
    def disturbed(at: int) -> Ended:
        """The scenario in an empty folder, with this call disturbed; 0: none."""
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        environment = {"FAULTS_FOLDER": str(path.parent), "FAULTS_AT": str(at), **how}
        return run_on_bad_disk(path, {LANE: scenario}, environment)

    path = tmp_path / "disk" / "people.heirloom"
    well = disturbed(at=0)
    assert [told.error for lane in well.told.values() for told in lane] == [""] * (len(scenario) + 2)
    require_sound(path, scenario, well)
    harmed = 0
    for at in range(1, well.counted + 1, max(1, well.counted // sample)):
        ended = disturbed(at)
        harmed += ended.status == KILLED or any(told.error for lane in ended.told.values() for told in lane)
        try:
            assert ended.status == (0 if ended.counted else KILLED)
            require_sound(path, scenario, ended)
        except BaseException as error:
            error.add_note(f"call {at} of {well.counted}: {ended}")
            raise
    assert harmed or how["FAULTS_HOW"] == "short"  # the rest is written at the next attempt


def require_sound(path: Path, scenario: Sequence[Act], ended: Ended) -> None:
    """On a disk that is well again the gallery opens, holds what was answered, and of others not a byte."""
    told = ended.told[LANE]
    possible = outcomes(NOBODY, scenario[: len(told)], told)
    if not path.exists():
        assert NOBODY in possible
        return
    with open_gallery(path) as gallery:
        assert gallery.store.scrub(0) == (True, ())  # as the next `forget`, if the disk was in the way of the last
        assert gallery.check() == []
        state = held(gallery)
        assert state in possible
        assert is_right(perform(gallery, Act("search", rows=(5,))), state, random_rows(1, seed=5)[0])
    assert found_in(path, rows_of({LANE: scenario}) - {row for row, _ in state}) == set()
