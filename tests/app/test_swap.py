"""The switch: one reference, moved by one swap at a time. Nothing is loaded here; models are names."""

import threading
from types import SimpleNamespace

import pytest

from app.errors import NoPreviousModel, SwapInProgress
from app.swap import Active, Deciding, Switch
from tests.app.parts import PATIENCE


def active(name):
    return Active(name, SimpleNamespace(card=SimpleNamespace(model_id=name)), lambda: Deciding(object()))


def switch(load=active, remember=lambda *_: None):
    return Switch(active("teacher"), load, remember)


def names(models):
    return models.active.reference, models.previous and models.previous.reference


def test_at_first_there_is_no_previous_model():
    assert names(switch().models) == ("teacher", None)


def test_a_swap_makes_the_active_model_the_previous_one():
    made = switch()
    assert names(made.activate("student")) == ("student", "teacher")
    assert names(made.models) == ("student", "teacher")


def test_going_back_exchanges_the_two_and_loads_nothing():
    loaded = []
    made = switch(load=lambda name: loaded.append(name) or active(name))
    made.activate("student")
    teacher = made.models.previous
    assert names(made.roll_back()) == ("teacher", "student")
    assert made.models.active is teacher
    assert loaded == ["student"]


def test_going_back_twice_ends_where_it_began():
    made = switch()
    made.activate("student")
    made.roll_back()
    assert names(made.roll_back()) == ("student", "teacher")


def test_there_is_no_way_back_before_the_first_swap():
    with pytest.raises(NoPreviousModel, match="teacher"):
        switch().roll_back()


def test_activating_the_active_model_again_renews_it_and_keeps_the_previous_one():
    made = switch()
    made.activate("student")
    before = made.models
    made.activate("student")
    assert names(made.models) == ("student", "teacher")
    assert made.models.active is not before.active
    assert made.models.previous is before.previous


def test_a_model_that_does_not_load_changes_nothing():
    def fail(name):
        raise OSError(name)

    remembered = []
    made = switch(fail, lambda models, _: remembered.append(models))
    before = made.models
    with pytest.raises(OSError, match="student"):
        made.activate("student")
    assert made.models is before
    assert remembered == []


def test_a_choice_that_cannot_be_stored_changes_nothing():
    def fail(*_):
        raise OSError("disk full")

    made = switch(remember=fail)
    before = made.models
    with pytest.raises(OSError, match="disk full"):
        made.activate("student")
    assert made.models is before


def test_the_choice_is_stored_before_the_pointer_moves():
    seen = []
    made = switch(remember=lambda models, _: seen.append((names(models), names(made.models))))
    made.activate("student")
    made.roll_back()
    made.unload("student")
    assert seen == [
        (("student", "teacher"), ("teacher", None)),
        (("teacher", "student"), ("student", "teacher")),
        (("teacher", None), ("teacher", "student")),
    ]


def test_a_candidate_that_is_unloaded_is_nothing_to_remember():
    seen = []
    made = switch(remember=lambda *of: seen.append(of))
    made.load("student")
    made.unload("student")
    assert seen == []


def test_a_second_swap_is_refused_while_the_first_has_not_finished_and_readers_do_not_wait():
    loading, go_on = threading.Event(), threading.Event()

    def slow(name):
        loading.set()
        assert go_on.wait(PATIENCE)
        return active(name)

    made = switch(slow)
    first = threading.Thread(target=made.activate, args=("student",))
    first.start()
    assert loading.wait(PATIENCE)
    with pytest.raises(SwapInProgress):
        made.activate("other")
    with pytest.raises(SwapInProgress):
        made.roll_back()
    assert names(made.models) == ("teacher", None)
    go_on.set()
    first.join()
    assert names(made.models) == ("student", "teacher")


def test_a_failed_swap_leaves_the_next_one_free():
    answers = iter([OSError("no"), active("student")])

    def once(_):
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    made = switch(once)
    with pytest.raises(OSError, match="no"):
        made.activate("student")
    assert names(made.activate("student")) == ("student", "teacher")
