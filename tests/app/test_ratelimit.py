"""Token buckets: against a naive twin, and bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ratelimit import Rate, RateLimit


class Bucket:
    """The textbook's token bucket, the twin."""

    def __init__(self, rate):
        self.rate, self.tokens, self.at = rate, rate.burst, 0.0

    def take(self, now):
        self.tokens = min(self.rate.burst, self.tokens + (now - self.at) * self.rate.per_second)
        self.at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self.rate.per_second


@given(
    gaps=st.lists(st.integers(0, 40), max_size=60),
    per_second=st.sampled_from([0.5, 1, 4]),
    burst=st.integers(1, 5),
)
def test_it_is_the_bucket_of_the_textbook(gaps, per_second, burst):
    """Times in sixteenths of a second, so that both count without rounding."""
    rate, now = Rate(per_second, burst), 0.0
    limit, bucket = RateLimit(rate), Bucket(rate)
    for gap in gaps:
        now += gap / 16
        assert limit.take("ada", now) == bucket.take(now)


def test_a_burst_then_the_rate():
    limit = RateLimit(Rate(per_second=2, burst=3))
    assert [limit.take("ada", 10.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert limit.take("ada", 10.25) == 0.25
    assert limit.take("ada", 10.5) == 0


def test_callers_do_not_share():
    limit = RateLimit(Rate(1, 1))
    assert limit.take("ada", 0.0) == limit.take("bob", 0.0) == 0
    assert limit.take("ada", 0.0) > 0


def test_being_refused_costs_nothing():
    limit = RateLimit(Rate(1, 1))
    limit.take("ada", 0.0)
    assert {limit.take("ada", 0.5) for _ in range(100)} == {0.5}


def test_who_has_been_silent_is_forgotten():
    limit = RateLimit(Rate(1, 2))
    for second in range(1000):
        limit.take(f"caller {second}", float(second))
    assert len(limit) == 1


def test_a_flood_of_callers_takes_no_more_memory_than_the_limit():
    limit = RateLimit(Rate(1, 2), callers=100)
    for caller in range(10_000):
        limit.take(str(caller), 0.0)
    assert len(limit) == 100


@pytest.mark.parametrize("backwards", [0.0, 5.0])
def test_a_clock_that_stands_still_or_goes_back_gives_nothing_away(backwards):
    limit = RateLimit(Rate(1, 1))
    limit.take("ada", 10.0)
    assert limit.take("ada", 10.0 - backwards) == 1 + backwards


def test_a_bucket_that_is_full_again_at_once_is_not_remembered():
    """1 / rate is less than what tells one moment from the next."""
    limit = RateLimit(Rate(1e18, 1))
    assert [limit.take("ada", 1e6) for _ in range(2)] == [0, 0]
    assert len(limit) == 0
