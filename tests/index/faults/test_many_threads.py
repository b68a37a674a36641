"""Sixteen threads search while Subjects come, go, are merged and laid out anew: each answer is right for some state
between question and answer."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from index import cache, compaction
from index.gallery import LocalGallery, create_gallery
from tests.index.fakes import SPACE, cosine, random_rows
from tests.index.faults.acts import EVERYBODY, Act, State, after, load, perform

THREADS = 16
PROBES = random_rows(8, seed=77)
Answer = tuple[tuple[str, float], ...]


class History:
    """Every state there was, in order, and what the right answer to each probe is in it."""

    def __init__(self) -> None:
        self._states: list[State] = [frozenset()]
        self._answers: dict[tuple[int, int], Answer] = {}
        self._scores: dict[int, list[float]] = {}
        self.begun = 0
        """The last state that may be seen."""
        self.done = 0
        """The first state that may be seen."""

    def begin(self, act: Act) -> None:
        self._states.append(after(self._states[-1], act))
        self.begun += 1

    def end(self) -> None:
        self.done = self.begun

    def answer(self, version: int, probe: int) -> Answer:
        if (version, probe) not in self._answers:
            best: dict[str, float] = {}
            for row, subject in self._states[version]:
                best[subject] = max(best.get(subject, -1.0), self._score(row, probe))
            self._answers[version, probe] = tuple(sorted(best.items(), key=lambda item: -item[1]))
        return self._answers[version, probe]

    def _score(self, row: int, probe: int) -> float:
        if row not in self._scores:
            stored = random_rows(1, seed=row)[0]
            self._scores[row] = [cosine(stored, one) for one in PROBES]
        return self._scores[row][probe]


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the background is always at work."""
    for module in (compaction, cache):
        monkeypatch.setattr(module, "FEWEST", 8)
    monkeypatch.setattr(compaction, "SEGMENT_ROWS", 64)


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("acts", [60, pytest.param(3000, marks=pytest.mark.nightly)])
def test_every_answer_is_right_for_a_state_between_question_and_answer(path: Path, acts: int) -> None:
    history, begun, over = History(), threading.Barrier(THREADS + 1), threading.Event()
    with create_gallery(path, SPACE) as gallery, ThreadPoolExecutor(THREADS) as pool:
        searching = [pool.submit(search, gallery, history, (begun, over), seed) for seed in range(THREADS)]
        try:
            begun.wait(60)
            for act in load(7, "a", [], 0, acts):
                history.begin(act)
                perform(gallery, act)
                history.end()
        finally:
            over.set()
        asked = [question for future in searching for question in future.result()]
        assert gallery.check() == []
    assert len(asked) >= 2 * THREADS
    for probe, first, last, found in asked:
        assert any(found == history.answer(version, probe) for version in range(first, last + 1))


def search(
    gallery: LocalGallery, history: History, between: tuple[threading.Barrier, threading.Event], seed: int
) -> list[tuple[int, int, int, Answer]]:
    """(probe, first and last state that may be seen, answer) of each question that was asked.

    between: the first question is asked before the one, and the last after the other.
    """
    (begun, over), dice, asked = between, random.Random(seed), []  # noqa: S311

    def ask() -> None:
        probe, first = dice.randrange(len(PROBES)), history.done
        (found,) = gallery.search(PROBES[probe][np.newaxis], EVERYBODY, space=SPACE)
        asked.append((probe, first, history.begun, tuple((one.subject_id, one.score) for one in found)))
        time.sleep(0)

    ask()
    begun.wait(60)
    while not over.is_set():
        ask()
    ask()
    return asked
