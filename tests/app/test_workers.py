"""The workers: several items in one run, each result to its own; and what becomes of those that have none."""

import math
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack

import pytest

from app.batching import Stage
from app.errors import DeadlinePassed, NotReady, WorkerLost, WorkerStuck
from app.workers import Workers, _Worker, supervised
from tests.app.parts import PATIENCE, wait_until

SECONDS = PATIENCE


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Held:
    """A run that waits to be let go, batch by batch, and notes what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.inside = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.inside.release()
        assert self.go_on.acquire(timeout=SECONDS)
        return [10 * item for item in items]

    def entered(self) -> None:
        assert self.inside.acquire(timeout=SECONDS)

    def let_go(self, batches: int) -> None:
        self.go_on.release(batches)


@pytest.fixture
def held():
    made = Held()
    yield made
    made.let_go(1000)


class OneStage:
    """Workers of a single Stage."""

    def __init__(self, run, *, limit=1, size=lambda _: 1, key=lambda _: None, count=1, **options) -> None:
        self.stage = Stage("test", run, limit, size, key)
        self.workers = Workers([self.stage], count, **options)
        self.supervise, self.close = self.workers.supervise, self.workers.close

    def submit(self, item, deadline=math.inf):
        return self.workers.submit(self.stage, item, deadline)

    @property
    def waiting(self) -> int:
        return self.workers.waiting(self.stage)

    @property
    def trouble(self) -> str | None:
        return self.workers.trouble


@pytest.fixture
def make():
    """Workers of one Stage, closed at the end."""
    with ExitStack() as stack:

        def make(run, **options):
            made = OneStage(run, **options)
            stack.callback(made.close, SECONDS)
            return made

        yield make


def tenfold(items):
    return [10 * item for item in items]


class TestBatches:
    def test_an_idle_worker_runs_an_item_at_once_and_alone(self, make, held):
        made = make(held, limit=8)
        future = made.submit(1)
        held.entered()
        held.let_go(1)
        assert future.result(SECONDS) == 10
        assert held.batches == [[1]]

    def test_what_waits_meanwhile_is_run_together_up_to_the_limit(self, make, held):
        made = make(held, limit=3)
        first = made.submit(0)
        held.entered()
        others = [made.submit(i) for i in range(1, 6)]
        assert made.waiting == 5
        held.let_go(3)
        assert [future.result(SECONDS) for future in (first, *others)] == [0, 10, 20, 30, 40, 50]
        assert held.batches == [[0], [1, 2, 3], [4, 5]]

    def test_the_limit_is_of_sizes_and_what_exceeds_it_runs_alone(self, make, held):
        made = make(held, limit=10, size=lambda item: item)
        futures = [made.submit(1)]
        held.entered()
        futures += [made.submit(item) for item in (6, 25, 4, 3)]
        held.let_go(10)
        assert [future.result(SECONDS) for future in futures] == [10, 60, 250, 40, 30]
        assert held.batches == [[1], [6, 4], [25], [3]]

    def test_items_of_two_keys_never_meet_and_keep_their_order(self, make, held):
        made = make(held, limit=8, key=lambda item: item % 2)
        made.submit(0)
        held.entered()
        futures = [made.submit(item) for item in (1, 2, 3, 4, 5)]
        held.let_go(10)
        assert [future.result(SECONDS) for future in futures] == [10, 20, 30, 40, 50]
        assert held.batches == [[0], [1, 3, 5], [2, 4]]

    def test_as_many_batches_as_workers_run_at_once(self, make):
        met = threading.Barrier(3)
        made = make(lambda items: [met.wait(SECONDS) and item for item in items], count=3)
        for future in [made.submit(i) for i in range(3)]:
            future.result(SECONDS)

    def test_each_run_is_told_with_its_items_and_seconds(self, make):
        clock, told = Clock(), []

        def slow(items):
            clock.now += 2
            return items

        make(slow, clock=clock, ran=lambda *run: told.append(run)).submit(1).result(SECONDS)
        assert told == [("test", 1, 2.0)]


class TestErrors:
    def test_the_error_of_a_run_is_of_those_alone_who_cannot_be_run_alone(self, make, held):
        def run(items):
            results = held(items)
            if 2 in items:
                raise ValueError(f"2 in {items}")
            return results

        made = make(run, limit=8)
        made.submit(0)
        held.entered()
        futures = [made.submit(item) for item in (1, 2, 3)]
        held.let_go(10)
        assert (futures[0].result(SECONDS), futures[2].result(SECONDS)) == (10, 30)
        with pytest.raises(ValueError, match=r"2 in \[2\]"):
            futures[1].result(SECONDS)
        assert held.batches == [[0], [1, 2, 3], [1], [2], [3]]

    def test_an_item_that_ran_alone_is_not_run_again(self, make):
        runs = []

        def run(items):
            runs.append(items)
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            make(run).submit(1).result(SECONDS)
        assert runs == [[1]]

    def test_a_run_with_too_few_results_costs_its_worker(self, make):
        made = make(lambda items: [] if 1 in items else items)
        with pytest.raises(WorkerLost):
            made.submit(1).result(SECONDS)
        assert made.submit(2).result(SECONDS) == 2


class TestWhoDoesNotWait:
    def test_what_was_cancelled_before_its_run_is_never_run(self, make, held):
        made = make(held, limit=8)
        made.submit(0)
        held.entered()
        gone, stays = made.submit(1), made.submit(2)
        assert gone.cancel()
        held.let_go(10)
        assert stays.result(SECONDS) == 20
        with pytest.raises(CancelledError):
            gone.result(SECONDS)
        assert held.batches == [[0], [2]]

    def test_what_is_being_run_can_not_be_cancelled(self, make, held):
        future = make(held).submit(1)
        held.entered()
        assert not future.cancel()
        held.let_go(1)
        assert future.result(SECONDS) == 10

    def test_an_item_whose_deadline_passes_before_its_turn_is_never_run(self, make, held):
        clock = Clock()
        made = make(held, clock=clock)
        first = made.submit(0, 0.5)
        held.entered()
        late, early = made.submit(1, 1.0), made.submit(2, 5.0)
        clock.now = 1.5
        held.let_go(10)
        with pytest.raises(DeadlinePassed, match="'test'"):
            late.result(SECONDS)
        assert (first.result(SECONDS), early.result(SECONDS)) == (0, 20)
        assert held.batches == [[0], [2]]

    def test_a_deadline_is_kept_while_every_worker_is_busy(self, make, held):
        clock = Clock()
        made = make(held, clock=clock)
        made.submit(0)
        held.entered()
        late = made.submit(1, 1.0)
        clock.now = 1.5
        made.supervise()
        with pytest.raises(DeadlinePassed):
            late.result(SECONDS)
        assert made.waiting == 0


class TestWorkers:
    def test_one_that_hangs_is_replaced_and_its_items_fail_while_the_others_go_on(self, make):
        clock, hang, inside = Clock(), threading.Event(), threading.Event()

        def run(items):
            if 1 in items:
                inside.set()
                assert hang.wait(SECONDS)
            return tenfold(items)

        made = make(run, limit=8, clock=clock, stuck_after=60)
        stuck = made.submit(1)
        assert inside.wait(SECONDS)
        after = made.submit(2)
        clock.now = 60
        made.supervise()
        assert not stuck.done()
        clock.now = 60.1
        made.supervise()
        with pytest.raises(WorkerStuck, match="60"):
            stuck.result(SECONDS)
        assert after.result(SECONDS) == 20
        hang.set()  # what it comes back with is too late, and changes nothing
        with pytest.raises(WorkerStuck):
            stuck.result(SECONDS)
        assert made.submit(3).result(SECONDS) == 30

    def test_one_that_dies_is_replaced_and_its_items_fail_each_with_an_error_of_its_own(self, make, held):
        def run(items):
            held(items)
            if 1 in items:
                raise SystemExit
            return tenfold(items)

        made = make(run, limit=8)
        made.submit(0)
        held.entered()
        lost = [made.submit(1), made.submit(2)]
        held.let_go(10)
        errors = [future.exception(SECONDS) for future in lost]
        assert [type(error) for error in errors] == [WorkerLost, WorkerLost]
        assert errors[0] is not errors[1]
        assert "SystemExit" in str(errors[0])
        assert made.submit(3).result(SECONDS) == 30

    def test_what_was_answered_before_its_worker_hangs_stays_answered(self, make):
        clock, hang, inside = Clock(), threading.Event(), threading.Event()
        begun, together = threading.Event(), threading.Event()

        def run(items):
            if items == [0]:
                begun.set()
                assert together.wait(SECONDS)
            elif len(items) > 1:
                raise ValueError("together they cannot be run")
            elif items == [2]:
                inside.set()
                assert hang.wait(SECONDS)
            return tenfold(items)

        made = make(run, limit=8, clock=clock, stuck_after=60)
        futures = [made.submit(0)]
        assert begun.wait(SECONDS)
        futures += [made.submit(item) for item in (1, 2, 3)]
        together.set()
        assert inside.wait(SECONDS)
        clock.now = 61
        made.supervise()
        hang.set()
        assert [futures[i].result(SECONDS) for i in (0, 1)] == [0, 10]
        assert [type(futures[i].exception(SECONDS)) for i in (2, 3)] == [WorkerStuck, WorkerStuck]

    def test_three_lost_in_a_row_are_trouble_until_a_run_ends_well(self, make):
        def run(items):
            if 1 in items:
                raise SystemExit
            return items

        made = make(run)
        for lost in range(3):
            assert made.trouble is None, lost
            assert made.submit(1).exception(SECONDS)
        assert made.trouble == "3 workers were lost"
        made.submit(2).result(SECONDS)
        wait_until(lambda: made.trouble is None)  # the lost threads end by themselves

    def test_three_that_hang_are_trouble_whatever_the_others_do(self, make):
        clock, hang, inside = Clock(), threading.Event(), threading.Semaphore(0)

        def run(items):
            if 1 in items:
                inside.release()
                assert hang.wait(SECONDS)
            return items

        made = make(run, clock=clock, stuck_after=1)
        for _ in range(3):
            made.submit(1)
            assert inside.acquire(timeout=SECONDS)
            clock.now += 2
            made.supervise()
            assert made.submit(2).result(SECONDS) == 2
        assert made.trouble == "3 workers were lost"
        hang.set()
        wait_until(lambda: made.trouble is None)

    def test_a_worker_that_could_not_be_started_is_started_later(self, make, monkeypatch):
        def refuse(_):
            raise RuntimeError("can't start new thread")

        def run(items):
            if 0 in items:
                raise SystemExit
            return items

        made = make(run)
        (dying,) = made.workers._workers
        with monkeypatch.context() as patch:
            patch.setattr(_Worker, "start", refuse)
            patch.setattr(threading, "excepthook", lambda _: None)
            with pytest.raises(WorkerLost):
                made.submit(0).result(SECONDS)
            future = made.submit(1)
            with pytest.raises(RuntimeError):
                made.supervise()
            dying.join(SECONDS)  # its last words are for the hook above
        made.supervise()
        assert future.result(SECONDS) == 1


class TestClosing:
    def test_what_was_submitted_is_finished_and_nothing_more_is_taken(self, held):
        made = OneStage(held, limit=2)
        futures = [made.submit(0)]
        held.entered()
        futures += [made.submit(item) for item in (1, 2, 3)]
        closing = threading.Thread(target=made.close, args=(SECONDS,))
        closing.start()
        held.let_go(10)
        closing.join(SECONDS)
        assert [future.result(0) for future in futures] == [0, 10, 20, 30]
        with pytest.raises(NotReady):
            made.submit(4)

    def test_what_takes_longer_than_patience_fails(self, held):
        made = OneStage(held)
        running = made.submit(0)
        held.entered()
        waiting = made.submit(1)
        made.close(0)
        for future in (running, waiting):
            with pytest.raises(NotReady):
                future.result(0)
        held.let_go(10)
        with pytest.raises(NotReady):
            running.result(0)

    def test_those_supervised_are_watched_and_closed_at_the_end(self):
        clock, hang = Clock(), threading.Event()
        made = OneStage(lambda _: [hang.wait(SECONDS)], clock=clock, stuck_after=1)
        with supervised(made.workers, every=0.001, patience=SECONDS):
            future = made.submit(1)
            wait_until(lambda: made.waiting == 0)
            clock.now = 2
            with pytest.raises(WorkerStuck):
                future.result(SECONDS)
            hang.set()
        with pytest.raises(NotReady):
            made.submit(1)
