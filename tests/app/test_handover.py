"""A whole request on a worker's thread: when it may be, when it makes room, and what becomes of one that hangs."""

import math
import threading
from contextlib import ExitStack

import pytest

from app.admission import Ticket
from app.batching import Stage
from app.errors import ClientGone, DeadlinePassed, WorkerLost, WorkerStuck
from app.workers import Workers
from tests.app.parts import wait_until
from tests.app.test_workers import SECONDS, Clock, tenfold

FOR_EVER = math.inf


class Service:
    """Workers of two Stages that note on which thread they ran what."""

    def __init__(self, count, **options) -> None:
        self.ran, self.told = [], []
        self.first = Stage("first", self._run)
        self.second = Stage("second", self._run)
        self.workers = Workers(
            [self.first, self.second], count, ran=lambda stage, items, _: self.told.append((stage, items)), **options
        )

    def _run(self, items):
        self.ran.append((threading.current_thread(), items))
        return tenfold(items)

    def begin(self, work, deadline=FOR_EVER):
        return Ticket(deadline).begin(self.workers, work)

    def both(self, ticket):
        """The work of a request of two Stages."""
        return [ticket.result(self.workers, stage, 1) for stage in (self.first, self.second)]


@pytest.fixture
def make():
    with ExitStack() as stack:

        def make(count=1, **options):
            made = Service(count, **options)
            stack.callback(made.workers.close, SECONDS)
            return made

        yield make


@pytest.fixture
def gate():
    made = threading.Event()
    yield made
    made.set()


def waits_for(gate, inside):
    def work(_ticket):
        inside.set()
        assert gate.wait(SECONDS)
        return "waited"

    return work


def test_all_stages_run_on_the_one_thread_that_the_work_is_on_and_each_is_told(make):
    service, threads = make(), []

    def work(ticket):
        threads.append(threading.current_thread())
        return service.both(ticket)

    assert service.begin(work).result(SECONDS) == [10, 10]
    assert [thread for thread, _ in service.ran] == threads * 2
    assert threads != [threading.current_thread()]
    assert service.told == [("first", 1), ("second", 1)]


def test_none_is_begun_while_every_worker_is_busy(make, gate):
    service, inside = make(2), threading.Event()
    running = service.begin(waits_for(gate, inside))
    assert service.begin(service.both).result(SECONDS) == [10, 10]
    other = service.begin(waits_for(gate, threading.Event()))
    assert inside.wait(SECONDS)
    assert service.begin(service.both) is None
    gate.set()
    assert [running.result(SECONDS), other.result(SECONDS)] == ["waited", "waited"]


def test_none_is_begun_before_what_waits_already(make, gate):
    service = make()
    held = service.begin(waits_for(gate, inside := threading.Event()))
    assert inside.wait(SECONDS)
    waiting = service.workers.submit(service.first, 3)
    assert service.begin(service.both) is None
    gate.set()
    assert held.result(SECONDS) == "waited"
    assert waiting.result(SECONDS) == 30


def test_one_that_others_wait_for_makes_room_and_is_answered_in_its_turn(make, gate):
    service, inside = make(), threading.Event()

    def work(ticket):
        waits_for(gate, inside)(ticket)
        return service.both(ticket)

    asked = service.begin(work)
    assert inside.wait(SECONDS)
    others = [service.workers.submit(service.first, item) for item in (2, 3)]
    gate.set()
    assert asked.result(SECONDS) == [10, 10]
    assert [other.result(SECONDS) for other in others] == [20, 30]
    assert next(items for _, items in service.ran) == [2]  # first come, first served
    assert len({thread for thread, _ in service.ran}) == 1  # one worker, and it is not the thread that made room
    assert service.begin(service.both).result(SECONDS) == [10, 10]


def test_threads_that_made_room_are_hired_again(make):
    """A new one each time would have memory of its own to fill."""
    service, threads = make(), set()

    def work(ticket):
        threads.add(threading.current_thread())
        other = service.workers.submit(service.first, 2)
        return [*service.both(ticket), other.result(SECONDS)]

    for _ in range(20):
        begun = None
        while begun is None:
            begun = service.begin(work)
        assert begun.result(SECONDS) == [10, 10, 20]
        wait_until(lambda: service.workers._spare)  # it is answered before its thread is free
    assert len(threads) == 2


def test_its_error_is_its_own(make):
    service = make()
    with pytest.raises(ZeroDivisionError):
        service.begin(lambda _: 1 / 0).result(SECONDS)
    assert service.begin(service.both).result(SECONDS) == [10, 10]


@pytest.mark.parametrize("handed_over_once", [True, False])
def test_what_was_begun_in_time_is_finished(make, handed_over_once):
    clock = Clock()
    service = make(clock=clock)
    ticket = Ticket(1.0)

    def work(ticket):
        ticket.result(service.workers, service.first, 1)
        clock.now = 2.0
        return ticket.result(service.workers, service.second, 1)

    assert (ticket.begin(service.workers, work).result(SECONDS) if handed_over_once else work(ticket)) == 10


def test_what_has_not_begun_by_its_deadline_never_does(make, gate):
    clock = Clock()
    service, inside = make(clock=clock), threading.Event()
    running = service.begin(waits_for(gate, inside))
    assert inside.wait(SECONDS)
    service.workers._count = 2  # a worker that is about to come
    late = service.begin(service.both, 1.0)
    clock.now = 2.0
    service.workers.supervise()
    with pytest.raises(DeadlinePassed):
        late.result(SECONDS)
    gate.set()
    assert running.result(SECONDS) == "waited"
    assert service.ran == []


def test_a_client_that_leaves_before_it_begins_costs_nothing(make, gate):
    service, inside = make(), threading.Event()
    assert service.begin(waits_for(gate, inside)) is not None
    assert inside.wait(SECONDS)
    service.workers._count = 2
    ticket = Ticket(FOR_EVER)
    begun = ticket.begin(service.workers, service.both)
    ticket.cancel()
    assert begun.cancelled()
    gate.set()
    with pytest.raises(ClientGone):
        ticket.begin(service.workers, service.both)
    assert service.ran == []


def test_a_client_that_goes_away_costs_no_more_stages(make):
    service = make()

    def work(ticket):
        ticket.result(service.workers, service.first, 1)
        ticket.cancel()
        return ticket.result(service.workers, service.second, 1)

    with pytest.raises(ClientGone):
        service.begin(work).result(SECONDS)
    assert service.told == [("first", 1)]


def test_one_that_hangs_is_answered_and_its_worker_replaced(make, gate):
    clock, inside = Clock(), threading.Event()
    service = make(clock=clock, stuck_after=1)
    stuck = service.begin(waits_for(gate, inside))
    assert inside.wait(SECONDS)
    clock.now = 2
    service.workers.supervise()
    with pytest.raises(WorkerStuck):
        stuck.result(SECONDS)
    assert service.begin(service.both).result(SECONDS) == [10, 10]
    gate.set()  # what it comes back with is too late, and changes nothing
    with pytest.raises(WorkerStuck):
        stuck.result(SECONDS)


def test_the_seconds_until_it_is_stuck_are_of_a_stage(make, gate):
    clock, inside = Clock(), threading.Event()
    service = make(clock=clock, stuck_after=10)

    def work(ticket):
        clock.now += 8
        first = ticket.result(service.workers, service.first, 1)
        clock.now += 8
        waits_for(gate, inside)(ticket)
        return first

    asked = service.begin(work)
    assert inside.wait(SECONDS)
    service.workers.supervise()
    gate.set()
    assert asked.result(SECONDS) == 10


@pytest.mark.parametrize("made_room", [False, True])
def test_one_that_dies_is_answered_and_its_worker_replaced(make, gate, made_room):
    service, inside = make(), threading.Event()

    def work(ticket):
        waits_for(gate, inside)(ticket)
        ticket.result(service.workers, service.first, 1)
        raise SystemExit

    asked = service.begin(work)
    assert inside.wait(SECONDS)
    if made_room:
        service.workers.submit(service.first, 2)
    gate.set()
    with pytest.raises(WorkerLost, match="SystemExit"):
        asked.result(SECONDS)
    wait_until(lambda: service.workers.waiting(service.first) == 0)
    assert service.begin(service.both).result(SECONDS) == [10, 10]


def test_what_was_begun_is_finished_when_the_service_stops(gate):
    service, inside = Service(1), threading.Event()

    def work(ticket):
        waits_for(gate, inside)(ticket)
        return service.both(ticket)

    asked = service.begin(work)
    assert inside.wait(SECONDS)
    waiting = service.workers.submit(service.first, 2)
    closing = threading.Thread(target=service.workers.close, args=(SECONDS,))
    closing.start()
    wait_until(lambda: service.begin(service.both) is None and service.workers._closed)
    gate.set()
    closing.join()
    assert (asked.result(0), waiting.result(0)) == ([10, 10], 20)


def test_one_that_made_room_is_waited_for_when_the_service_stops(gate):
    """A thread that ends later than the service would be taken for one that hangs."""
    service, inside = Service(1), threading.Event()

    def work(ticket):
        service.workers.submit(service.first, 2)
        return [*service.both(ticket), waits_for(gate, inside)(ticket)]

    asked = service.begin(work)
    assert inside.wait(SECONDS)
    (other,) = service.workers._workers
    closing = threading.Thread(target=service.workers.close, args=(SECONDS,))
    closing.start()
    other.join(SECONDS)
    closing.join(0.2)
    assert closing.is_alive()
    gate.set()
    closing.join(SECONDS)
    assert asked.result(0) == [10, 10, "waited"]
    assert [thread for thread in service.workers._threads if thread.is_alive()] == []
