"""An approximate engine may miss a row, and says nothing wrong of those that it finds."""

import gc
import threading
import weakref
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from index import approximate
from index.approximate import Approximate
from index.scan import Scanner
from index.search import Part, nothing, off_unit
from index.segment import Segment
from tests.index.test_segment import segment_of

DIM = 64


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(approximate, "FEWEST", 256)


@pytest.fixture(scope="module")
def engine():
    with closing(Scanner(2)) as exact, closing(Approximate(exact, 2)) as made:
        yield made


def people(count, seed=0, photos=4, dim=DIM):
    """(count · photos, dim) unit rows that fp16 holds; those of one person have cosines of about 0.6."""
    random = np.random.default_rng(seed)
    rows = np.repeat(random.standard_normal((count, dim)), photos, axis=0)
    rows += 0.8 * random.standard_normal(rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


def scanned(engine, parts, probes, depth):
    """What a scan found, held against every product in float64: the share of the nearest rows that are among it."""
    engine.prepare([segment for segment, _ in parts])
    found = engine.scan(parts, probes, depth)
    rows = np.vstack([segment.halves for segment, _ in parts]).astype(np.float64)
    alive = np.concatenate([np.ones(len(of), bool) if mask is None else mask for of, mask in parts])
    exact = np.where(alive, probes.astype(np.float64) @ rows.T, -np.inf)
    most = min(depth, alive.sum())
    shares = []
    for scores, numbers, slack, of in zip(*found, exact, strict=True):
        there = numbers >= 0
        assert there.sum() == most
        assert alive[numbers[there]].all()
        assert len(set(numbers[there].tolist())) == most
        assert (np.diff(scores[there]) <= 0).all()
        assert (np.abs(scores[there] - of[numbers[there]]) <= slack).all()
        shares.append(np.isin(np.argsort(-of)[:10], numbers).mean())
    return float(np.mean(shares))


def test_nearly_all_of_the_nearest_are_found(engine):
    rows = people(1000)
    parts = [(segment_of(rows[:2500]), None), (segment_of(rows[2500:]), None)]
    assert scanned(engine, parts, people(1000, photos=1)[:40], 64) > 0.97


def test_so_are_they_beside_erased_rows_and_segments_without_codes(engine):
    rows, random = people(1000), np.random.default_rng(3)
    parts = [
        (segment_of(rows[:200]), None),
        (segment_of(rows[200:2000]), random.random(1800) < 0.9),
        (segment_of(rows[2000:2100]), random.random(100) < 0.5),
        (segment_of(rows[2100:]), None),
        (segment_of(rows[:2000]), np.arange(2000) > 1500),  # more erased ones than are worth passing over
    ]
    assert scanned(engine, parts, people(1000, photos=1)[:40], 64) > 0.97


def test_a_search_goes_no_deeper_for_what_codes_may_hide(engine):
    class Watched:
        def __init__(self):
            self.depths = []

        def scan(self, parts, probes, depth):
            self.depths.append(depth)
            return engine.scan(parts, probes, depth)

    segment, watched = segment_of(people(1000)), Watched()
    engine.prepare([segment])
    snapshot = replace(nothing(DIM), segments=(Part(segment, off_unit(segment.halves.astype(np.float32))),))
    found = snapshot.search(people(1000, photos=1)[:10], 5, watched)
    assert [len(hits) for hits in found] == [5] * 10
    assert len(watched.depths) == 1


def test_people_whom_one_hides_with_all_his_templates_come_up(engine):
    rows = np.vstack([people(1, photos=1)[[0] * 1500], people(100, 1, photos=1)])
    segment = Segment.build(np.arange(1600), np.maximum(np.arange(1600), 1499), rows)
    engine.prepare([segment])
    snapshot = replace(nothing(DIM), segments=(Part(segment, off_unit(rows)),))
    (hits,) = snapshot.search(rows[:1], 3, engine)
    assert hits[0].subject == 1499
    assert len({hit.subject for hit in hits}) == 3


@pytest.mark.parametrize("dim", [1, 2, 33])
def test_any_dimension_can_be_coded(engine, dim):
    scanned(engine, [(segment_of(people(300, dim=dim)), None)], people(5, 1, dim=dim), 20)


def test_a_scan_for_everything_finds_it(engine):
    parts = [(segment_of(people(1500)), None)]
    for depth in (4096, 5000, 7000):
        assert scanned(engine, parts, people(2, 1), depth) == 1


def test_no_probes_find_nothing(engine):
    parts = [(segment_of(people(300)), None)]
    assert scanned(engine, parts[:1], people(1, 1)[:1], 5) <= 1
    assert engine.scan(parts, np.empty((0, DIM), np.float32), 5).rows.shape == (0, 5)


def test_small_segments_get_no_codes(engine):
    small, large = segment_of(people(63)), segment_of(people(64))
    assert engine.lacks([small, large]) == [large]
    engine.prepare([small, large])
    assert (engine.lacks([small, large]), engine.codes_any([small])) == ([], False)
    assert engine.lacks([large.with_owners(large.owners + 1)]) == []


def test_codes_go_with_their_rows(engine, monkeypatch):
    made, gone = [], threading.Event()
    coded = approximate.coded

    def noted(segment):
        index = coded(segment)
        made.append(weakref.ref(index, lambda _: gone.set()))
        return index

    monkeypatch.setattr(approximate, "coded", noted)
    segment = segment_of(people(100))
    scanned(engine, [(segment, None)], people(1, 1), 5)
    assert made[0]() is not None
    del segment
    gc.collect()
    assert gone.wait(60)  # the thread that searched lets go of it a moment after its answer


def test_the_work_can_be_cut_short(engine):
    segments = [segment_of(people(100)), segment_of(people(100, 1))]
    answers = iter([True, False])
    engine.prepare(segments, lambda: next(answers))
    assert engine.lacks(segments) == segments[1:]
