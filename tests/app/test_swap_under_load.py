"""Eight clients keep asking while the model is swapped back and forth: nobody notices, but for the answers' model."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from app.client import Client
from tests.app import parts
from tests.app.parts import BLUE, GREEN, RED, photo

CLIENTS, SWAPS = 8, 24


@dataclass(frozen=True)
class Span:
    """Something that began, ended, and names a model: an answer, or a swap to that model."""

    began: float
    ended: float
    model_id: str


def ask(url, stop):
    """Answers until told to stop: when, by which model; each is checked for agreement within itself."""
    spans = []
    with Client(url) as client:
        while not stop.is_set():
            began = time.monotonic()
            answer = client.identify(photo(RED, BLUE, GREEN))
            spans.append(Span(began, time.monotonic(), answer.model.model_id))
            assert [face.decision.subject_id for face in answer.faces] == ["red", None, "green"]
            expected = {"teacher": parts.TEACHER_THRESHOLD, "student": parts.STUDENT_THRESHOLD}[answer.model.name]
            assert {face.decision.threshold for face in answer.faces} == {expected}
            assert {face.decision.model_id for face in answer.faces} == {answer.model.model_id}
    return spans


def swap_back_and_forth(client, student):
    """Swaps by name and by way back, in turn: when, to which model."""
    spans = [Span(0, 0, client.models().active.model_id)]
    for i in range(SWAPS):
        began = time.monotonic()
        answer = client.roll_back() if i % 2 else client.activate(str(student))
        spans.append(Span(began, time.monotonic(), answer.active.model_id))
        time.sleep(0.02)
    return spans


def may_answer(answer, swaps):
    """The models that were active at some moment of the request."""
    replaced = [*(swap.ended for swap in swaps[1:]), float("inf")]
    return {
        swap.model_id
        for swap, end in zip(swaps, replaced, strict=True)
        if swap.began <= answer.ended and end >= answer.began
    }


def test_no_request_fails_and_each_names_a_model_that_was_active_and_that_models_threshold(url, models):
    stop = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as pool, Client(url) as client:
        asking = [pool.submit(ask, url, stop) for _ in range(CLIENTS)]
        try:
            swaps = swap_back_and_forth(client, models["student"])
        finally:
            stop.set()
        answers = [answer for each in asking for answer in each.result()]
    assert len(swaps) == SWAPS + 1
    assert {answer.model_id for answer in answers} == {parts.model_id(models[name]) for name in ("teacher", "student")}
    assert [answer for answer in answers if answer.model_id not in may_answer(answer, swaps)] == []
