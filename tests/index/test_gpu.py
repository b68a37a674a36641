"""The engine of GPUs keeps the rules of faiss-gpu, as a stand-in has them.

What it does as every engine does: test_scan and test_contract.
"""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from faces.errors import DeviceUnavailable
from index.gpu import GpuScanner
from tests.index.fake_gpu import FakeGpus
from tests.index.test_scan import check
from tests.index.test_segment import segment_of, unit_rows

DIM = 32
PROBES = unit_rows(3, DIM, 9)


@pytest.fixture
def gpus():
    return FakeGpus(2)


@pytest.fixture
def engine(gpus):
    with closing(GpuScanner(range(2), gpus)) as made:
        yield made


def segments(*sizes):
    return [(segment_of(unit_rows(size, DIM, seed)), None) for seed, size in enumerate(sizes)]


def all_but(dead, count):
    alive = np.ones(count, bool)
    alive[dead] = False
    return alive


def test_each_segment_is_where_there_were_the_fewest_rows(engine, gpus):
    check(engine, segments(100, 60, 50, 30), PROBES, 10)
    assert [gpus.rows_on(0), gpus.rows_on(1)] == [130, 110]


def test_a_segment_is_uploaded_once_whoever_owns_its_rows(engine, gpus):
    ((segment, _),) = segments(100)
    check(engine, [(segment, None)], PROBES, 10)
    check(engine, [(segment.with_owners(segment.owners + 7), None)], PROBES, 10)
    assert gpus.uploads == 1


def test_what_no_snapshot_has_any_more_is_freed():
    gpu = FakeGpus(1)
    with closing(GpuScanner(range(1), gpu)) as engine:
        parts = segments(100, 60)
        check(engine, parts, PROBES, 10)
        assert gpu.rows_on(0) == 160
        coding = weakref.ref(parts[0][0].coding)
        del parts[0]
        gc.collect()
        assert coding() is None  # nor does the device's thread keep it
        check(engine, parts, PROBES, 10)  # in its turn, so after what was to be freed
        assert (gpu.rows_on(0), gpu.uploads) == (60, 2)


def test_a_few_erased_rows_are_passed_over_where_they_are(engine, gpus):
    ((segment, _),) = segments(1000)
    check(engine, [(segment, None)], PROBES, 10)
    check(engine, [(segment, all_but(slice(0, 200), 1000))], PROBES, 10)
    assert (gpus.uploads, gpus.rows_on(0)) == (1, 1000)


def test_many_erased_rows_leave_the_device(engine, gpus):
    ((segment, _),) = segments(1000)
    check(engine, [(segment, None)], PROBES, 10)
    check(engine, [(segment, all_but(slice(0, 400), 1000))], PROBES, 10)
    assert (gpus.uploads, gpus.rows_on(0)) == (2, 600)


def test_a_search_of_an_older_snapshot_finds_what_was_erased_since(engine):
    ((segment, _),) = segments(1000)
    check(engine, [(segment, all_but(slice(0, 400), 1000))], PROBES, 10)
    check(engine, [(segment, all_but(slice(600, 1000), 1000))], PROBES, 10)
    check(engine, [(segment, None)], PROBES, 10)


def test_the_nearest_rows_of_all_may_be_erased_ones(engine):
    rows = unit_rows(500, DIM, 1)
    order = np.argsort(-(rows @ PROBES[0]))
    check(engine, [(segment_of(rows[order]), all_but(slice(0, 256), 500))], PROBES, 10)


def test_what_a_gpu_cannot_bring_up_the_processor_does(engine, gpus):
    parts = segments(3000)
    for depth in (1792, 1793, 2500):
        check(engine, parts, PROBES, depth)
    assert gpus.rows_on(0) == 3000


def test_a_score_is_off_by_the_rounding_of_the_probe_and_little_else(engine):
    found = check(engine, segments(500), PROBES, 10)
    assert found.slack.max() < 1e-3


def test_any_number_of_threads_may_ask(engine):
    """The stand-in fails where a second thread speaks to a device."""
    parts = segments(100, 60)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: check(engine, parts, PROBES, 10), range(16)))


def test_a_gallery_too_large_for_the_gpus_is_an_error_that_names_the_device(caplog):
    with closing(GpuScanner(range(1), FakeGpus(1, room=100))) as engine:
        check(engine, segments(90), PROBES, 10)
        gc.collect()
        with pytest.raises(DeviceUnavailable, match="cuda:0"):
            engine.scan(segments(101), PROBES, 10)
        check(engine, segments(90), PROBES, 10)
    assert "cudaMalloc error" in caplog.text


def test_a_closed_engine_says_so_instead_of_waiting_forever(gpus):
    engine = GpuScanner(range(2), gpus)
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.scan(segments(10), PROBES, 3)
