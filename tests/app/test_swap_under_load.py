"""Sixteen clients keep asking while the model is swapped back and forth: nobody notices, but for the answers' model."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from app.client import Client
from tests.app import parts
from tests.app.parts import BLUE, GREEN, RED, photo

CLIENTS = 16


@dataclass(frozen=True)
class Span:
    """Something that began, ended, and names a model: an answer, or a swap to that model."""

    began: float
    ended: float
    model_id: str


def ask(url, stop, spans):
    """Note answers until told to stop: when, by which model; each is checked for agreement within itself."""
    with Client(url) as client:
        while not stop.is_set():
            began = time.monotonic()
            answer = client.identify(photo(RED, BLUE, GREEN))
            spans.append(Span(began, time.monotonic(), answer.model.model_id))
            assert [face.decision.subject_id for face in answer.faces] == ["red", None, "green"]
            expected = {"teacher": parts.TEACHER_THRESHOLD, "student": parts.STUDENT_THRESHOLD}[answer.model.name]
            assert {face.decision.threshold for face in answer.faces} == {expected}
            assert {face.decision.model_id for face in answer.faces} == {answer.model.model_id}


def swap_back_and_forth(client, swaps, student, answers):
    """Swaps by name, by way back and by id, in turn: when, to which model. Now and then the other one is watched.

    Each of the first two waits until somebody was answered by the model before it; the others wait for nobody.
    """
    teacher = client.models().active.model_id
    spans = [Span(0, 0, teacher)]
    ways = [lambda: client.activate(str(student)), client.roll_back, client.roll_back, lambda: client.activate(teacher)]
    for i in range(swaps):
        if i % 10 == 4:
            client.shadow(str(student), 0.5)
        if i < 2:
            parts.wait_until(lambda: spans[-1].model_id in {answer.model_id for answer in answers})
        began = time.monotonic()
        answer = ways[i % 4]()
        spans.append(Span(began, time.monotonic(), answer.active.model_id))
    return spans


def may_answer(answer, swaps):
    """The models that were active at some moment of the request."""
    replaced = [*(swap.ended for swap in swaps[1:]), float("inf")]
    return {
        swap.model_id
        for swap, end in zip(swaps, replaced, strict=True)
        if swap.began <= answer.ended and end >= answer.began
    }


@pytest.mark.parametrize("swaps", [60, pytest.param(500, marks=pytest.mark.nightly)])
def test_no_request_fails_and_each_names_a_model_that_was_active_and_that_models_threshold(url, models, swaps):
    stop, answers = threading.Event(), []
    with ThreadPoolExecutor(CLIENTS) as pool, Client(url) as client:
        asking = [pool.submit(ask, url, stop, answers) for _ in range(CLIENTS)]
        try:
            spans = swap_back_and_forth(client, swaps, models["student"], answers)
        finally:
            stop.set()
        for each in asking:
            each.result()
    teacher, student = (parts.model_id(models[name]) for name in ("teacher", "student"))
    assert [span.model_id for span in spans[1:]] == [(student, teacher)[i % 2] for i in range(swaps)]
    assert {answer.model_id for answer in answers} == {teacher, student}
    assert [answer for answer in answers if answer.model_id not in may_answer(answer, spans)] == []
