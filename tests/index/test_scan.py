"""A scan never errs by more than it says, never returns a dead row, and leaves out only what scores less."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.scan import MULTIPLIERS
from tests.index.engines import ENGINES
from tests.index.test_segment import segment_of, unit_rows

LEANS = st.sampled_from([0.0, 0.5, 3.0])  # cosines to one another of about 0, 0.2 and 0.9


@pytest.fixture(scope="module", params=list(ENGINES))
def scanner(request):
    with closing(ENGINES[request.param]()) as made:
        yield made


def check(scanner, parts, probes, depth):
    """A scan holds what it says, against every product in float64."""
    found = scanner.scan(parts, probes, depth)
    rows = np.vstack([segment.halves for segment, _ in parts]).astype(np.float64)
    alive = np.concatenate([np.ones(len(of), bool) if mask is None else mask for of, mask in parts])
    exact = np.where(alive, probes.astype(np.float64) @ rows.T, -np.inf)
    assert found.scores.shape == found.rows.shape == (len(probes), depth)
    for scores, numbers, slack, of in zip(*found, exact, strict=True):
        there = numbers >= 0
        assert there.sum() == min(depth, alive.sum())
        assert (scores[~there] == -np.inf).all()
        assert (np.diff(scores[there]) <= 0).all()
        scores, numbers = scores[there], numbers[there]
        assert len(set(numbers.tolist())) == len(numbers)
        assert alive[numbers].all()
        assert (np.abs(scores - of[numbers]) <= slack).all()
        left_out = np.delete(of, numbers)
        assert left_out.max(initial=-np.inf) <= scores.min(initial=np.inf) + slack
    return found


@given(data=st.data(), dim=st.integers(1, 100), lean=LEANS, count=st.integers(0, 20), depth=st.integers(1, 30))
def test_any_parts_any_probes_any_dead(scanner, data, dim, lean, count, depth):
    parts = []
    for seed, size in enumerate(data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=3))):
        share = data.draw(st.sampled_from([None, 0.0, 0.5, 0.9, 1.0]))
        mask = None if share is None else np.random.default_rng(seed).random(size) < share
        parts.append((segment_of(unit_rows(size, dim, seed, lean)), mask))
    check(scanner, parts, unit_rows(count, dim, 77, lean), depth)


@pytest.mark.parametrize("lean", [0.0, 3.0])
@pytest.mark.parametrize("dim", [96, 100, 512])
def test_more_rows_than_a_block_and_more_probes_than_a_group(scanner, dim, lean, monkeypatch):
    monkeypatch.setattr("index.scan._BLOCK_BYTES", 1 << 18)
    segment = segment_of(unit_rows(5000, dim, lean=lean))
    alive = np.random.default_rng(1).random(5000) < 0.99
    for count in (1, 2, 20, 150):
        check(scanner, [(segment, alive), (segment, None)], unit_rows(count, dim, 5, lean), 25)


def test_more_rows_than_a_slice(scanner, monkeypatch):
    monkeypatch.setattr("index.segment._SLICE_BYTES", 4000)
    segment = segment_of(unit_rows(500, 64))
    assert len(segment.slices) == 8
    mask = np.ones(500, bool)
    mask[:200] = False  # whole Slices among them
    for count in (1, 20):
        check(scanner, [(segment, mask)], unit_rows(count, 64, 5), 25)


def test_rows_that_rise_towards_the_end_are_not_missed(scanner, monkeypatch):
    monkeypatch.setattr("index.scan._BLOCK_BYTES", 1 << 14)
    """The worst order: every block beats all that was kept."""
    probe = unit_rows(16, 64)
    rows = unit_rows(6000, 64, 1)
    check(scanner, [(segment_of(rows[np.argsort(rows @ probe[0])]), None)], probe, 40)


def test_a_scan_deeper_than_there_are_rows_finds_them_all(scanner):
    segment = segment_of(unit_rows(3000, 32))
    for count in (1, 15):
        check(scanner, [(segment, None)], unit_rows(count, 32, 4), 4000)


def test_probes_need_not_be_of_unit_length(scanner):
    segment = segment_of(unit_rows(300, 32))
    for length in (0.0, 1e-3, 40.0):
        for count in (1, 15):
            check(scanner, [(segment, None)], np.float32(length) * unit_rows(count, 32, 4), 10)


def test_the_slack_of_unit_rows_is_small_enough_to_be_of_use(scanner):
    for dim, lean, most in ((512, 0.0, 0.025), (128, 3.0, 0.012)):
        found = check(scanner, [(segment_of(unit_rows(2000, dim, 0, lean)), None)], unit_rows(15, dim, 4, lean), 10)
        assert found.slack.max() < most


def test_both_multiplications_find_the_same_integers():
    pytest.importorskip("numkong")
    random = np.random.default_rng(0)
    codes, block = (random.integers(-127, 128, (count, 512)) for count in (64, 100))
    for multiplier in MULTIPLIERS.values():
        for few, some in itertools.product((codes, codes[:3], codes[:2], codes[:1]), (block, block[:1])):
            assert (multiplier(few.astype(np.int8))(some.astype(np.int8)) == some @ few.T).all()


def test_callers_may_share_a_scanner(scanner):
    segment = segment_of(unit_rows(4000, 32))
    probes = [unit_rows(count, 32, count) for count in (1, 15) * 8]
    alone = [scanner.scan([(segment, None)], of, 20) for of in probes]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda of: scanner.scan([(segment, None)], of, 20), probes))
    for one, other in zip(alone, together, strict=True):
        assert (one.scores == other.scores).all()
