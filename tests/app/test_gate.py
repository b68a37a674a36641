"""The gate: so many at once, so many waiting, nobody for ever."""

import threading
from contextlib import ExitStack

import pytest

from app.errors import Overloaded
from app.gate import Gate


def test_as_many_as_there_are_slots_enter_at_once():
    gate = Gate(2, 0, 0.01)
    with gate.enter(), gate.enter(), pytest.raises(Overloaded, match="waiting"), gate.enter():
        pass


def test_whoever_leaves_makes_room():
    gate = Gate(1, 0, 0.01)
    for _ in range(3):
        with gate.enter():
            pass


def test_a_failure_inside_makes_room_too():
    gate = Gate(1, 0, 0.01)
    with pytest.raises(ZeroDivisionError), gate.enter():
        raise ZeroDivisionError
    with gate.enter():
        pass


def test_nobody_waits_longer_than_patience():
    gate = Gate(1, 1, 0.01)
    with gate.enter(), pytest.raises(Overloaded, match=r"seconds: 0\.01"), gate.enter():
        pass


def test_a_wait_in_vain_gives_its_place_back():
    gate = Gate(1, 1, 0.01)
    with gate.enter():
        for _ in range(3):
            with pytest.raises(Overloaded, match="seconds"), gate.enter():
                pass


def test_who_waits_enters_when_a_slot_is_free():
    gate, entered = Gate(1, 1, 10), threading.Event()

    def wait():
        with gate.enter():
            entered.set()

    with ExitStack() as inside:
        inside.enter_context(gate.enter())
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert not entered.wait(0.05)
    waiter.join(10)
    assert entered.is_set()
