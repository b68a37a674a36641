"""Admission: so many inside, nobody for longer than it is of use, and nothing for those who left."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from app.admission import Admission, Ticket
from app.batching import Stage
from app.errors import ClientGone, DeadlinePassed, Overloaded
from app.workers import Workers
from tests.app.parts import PATIENCE


@pytest.fixture
def busy():
    """A Stage whose only worker is held by an item, until `go_on` is set; it notes what it runs."""
    inside, go_on, ran = threading.Event(), threading.Event(), []

    def run(items):
        ran.extend(items)
        inside.set()
        assert go_on.wait(PATIENCE)
        return items

    stage = Stage("test", run)
    workers = Workers([stage], 1)
    workers.submit(stage, "first")
    assert inside.wait(PATIENCE)
    yield SimpleNamespace(workers=workers, stage=stage, go_on=go_on, ran=ran)
    go_on.set()
    workers.close(PATIENCE)


@pytest.fixture
def elsewhere():
    """Calls on another thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


def test_who_finds_no_room_is_refused_at_once():
    admission = Admission(2, 10)
    with admission.enter(), admission.enter(), pytest.raises(Overloaded, match="waiting: 2"), admission.enter():
        pass


def test_whoever_leaves_makes_room_even_by_a_failure():
    admission = Admission(1, 10)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), admission.enter():
            raise ZeroDivisionError


@pytest.mark.parametrize(("timeout", "deadline"), [(None, 110.0), (4.0, 104.0), (60.0, 110.0)])
def test_a_caller_may_shorten_the_patience_of_the_service_but_not_lengthen_it(timeout, deadline):
    with Admission(1, 10, clock=lambda: 100.0).enter(timeout) as ticket:
        assert ticket.deadline == deadline


def test_a_result_comes_back(busy):
    busy.go_on.set()
    assert Ticket(float("inf")).result(busy.workers, busy.stage, 7) == 7


def test_a_deadline_goes_with_every_item(busy, elsewhere):
    asked = elsewhere(Ticket(0.0).result, busy.workers, busy.stage, 7)
    busy.go_on.set()
    with pytest.raises(DeadlinePassed):
        asked.result(PATIENCE)
    assert busy.ran == ["first"]


def test_who_leaves_while_waiting_costs_nothing(busy, elsewhere):
    submitted, submit = threading.Event(), busy.workers.submit

    def noted(*arguments):
        future = submit(*arguments)
        submitted.set()
        return future

    busy.workers.submit = noted
    ticket = Ticket(float("inf"))
    asked = elsewhere(ticket.result, busy.workers, busy.stage, 7)
    assert submitted.wait(PATIENCE)
    ticket.cancel()
    with pytest.raises(ClientGone):
        asked.result(PATIENCE)
    busy.go_on.set()
    assert busy.workers.submit(busy.stage, "last").result(PATIENCE) == "last"
    assert busy.ran == ["first", "last"]


def test_who_has_left_gets_nothing_more(busy):
    ticket = Ticket(float("inf"))
    ticket.cancel()
    with pytest.raises(ClientGone):
        ticket.result(busy.workers, busy.stage, 7)


def test_a_ticket_is_of_no_use_outside(busy):
    with Admission(1, 10).enter() as ticket:
        pass
    with pytest.raises(ClientGone):
        ticket.result(busy.workers, busy.stage, 7)
