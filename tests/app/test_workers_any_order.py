"""The workers, whatever comes in which order: against what each caller must have, and with threads let loose."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from app.errors import DeadlinePassed
from app.workers import _Worker
from tests.app.test_workers import SECONDS, Clock, OneStage


@dataclass(frozen=True)
class Parcel:
    number: int
    size: int
    key: str
    poisoned: bool


LIMIT = 6


def weigh(parcels: Sequence[Parcel]) -> list[tuple[str, int]]:
    """What comes back has the number of what was sent; a batch against the rules is an error of the test."""
    assert len({parcel.key for parcel in parcels}) == 1
    assert len(parcels) == 1 or sum(parcel.size for parcel in parcels) <= LIMIT
    if any(parcel.poisoned for parcel in parcels):
        raise ValueError(f"{[parcel.number for parcel in parcels]}")
    return [("weighed", parcel.number) for parcel in parcels]


parcels = st.builds(Parcel, st.just(0), st.integers(0, 8), st.sampled_from("ab"), st.booleans())


class AnyOrder(RuleBasedStateMachine):
    """Submissions, cancellations, time and runs in any order, moved by one hand; beside what must come of each."""

    @initialize()
    def start(self):
        self.clock = Clock()
        self.made = OneStage(weigh, limit=LIMIT, size=lambda p: p.size, key=lambda p: p.key, count=0, clock=self.clock)
        self.hand = _Worker(lambda _: None)  # never started: the machine does what it would do
        self.made.workers._workers.add(self.hand)
        self.sent = []

    @rule(parcel=parcels, patience=st.integers(0, 5))
    def submit(self, parcel, patience):
        parcel = Parcel(len(self.sent), parcel.size, parcel.key, parcel.poisoned)
        deadline = self.clock.now + patience
        self.sent.append((parcel, deadline, self.made.submit(parcel, deadline)))

    @rule(data=st.data())
    def cancel(self, data):
        if self.sent:
            _, _, future = data.draw(st.sampled_from(self.sent))
            was_done = future.done()
            assert future.cancel() == (not was_done or future.cancelled())

    @rule(seconds=st.integers(1, 3))
    def tick(self, seconds):
        self.clock.now += seconds

    @rule()
    def run(self):
        self.made.supervise()
        heads = [future for _, deadline, future in self.sent if not future.done() and deadline >= self.clock.now]
        if heads:
            self.made.workers._answer(self.hand, self.made.workers._take(self.hand))
            assert heads[0].done()  # first come, first served: nothing waits for ever

    def teardown(self):
        while self.made.waiting:
            self.run()
        for parcel, deadline, future in self.sent:
            assert future.done()
            if future.cancelled():
                continue
            error = future.exception()
            if isinstance(error, DeadlinePassed):
                assert deadline < self.clock.now
            elif parcel.poisoned:
                assert str(error) == str([parcel.number])
            else:
                assert future.result() == ("weighed", parcel.number)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=30)


@settings(max_examples=25)
@given(st.lists(st.lists(parcels, max_size=6), min_size=1, max_size=8), st.integers(1, 3))
def test_however_threads_interleave_each_caller_has_its_own_result(plans, workers):
    made = OneStage(weigh, limit=LIMIT, size=lambda p: p.size, key=lambda p: p.key, count=workers)

    def call(caller):
        for turn, parcel in enumerate(plans[caller]):
            mine = Parcel(100 * caller + turn, parcel.size, parcel.key, parcel.poisoned)
            future = made.submit(mine)
            if mine.poisoned:
                assert str(future.exception(SECONDS)) == str([mine.number])
            else:
                assert future.result(SECONDS) == ("weighed", mine.number)

    with ThreadPoolExecutor(len(plans)) as pool:
        list(pool.map(call, range(len(plans))))
    made.close(SECONDS)
