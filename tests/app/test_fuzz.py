"""Damaged photos and requests by the thousand: an answer for each, no trace of a fault, and nothing is left behind."""

import gc
import json
import logging
import os
from collections import Counter
from pathlib import Path

import httpx
import pytest

from app.service import create_app
from faces.errors import FacesError
from faces.image import ImageLimits, read_image
from tests.app import parts
from tests.app.mutations import Mutator, photos
from tests.app.parts import RED, photo

QUICK, LONG = 300, 20_000
MIB = 2**20
LIMITS = ImageLimits(bytes=200_000, pixels=1_000_000)

pytestmark = pytest.mark.filterwarnings(  # Starlette leaves a part that never ends to the garbage collector
    "ignore:Exception ignored in.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def mutator():
    return Mutator(photos())


@pytest.fixture
def ask(engine):
    """Send what was damaged in this way to the application, and judge the answer; its status."""
    app = create_app(engine, admission=parts.admission(), limits=LIMITS, paths_allowed=True)
    with parts.served(app) as url, httpx.Client(base_url=url, timeout=parts.PATIENCE) as client:

        def asked(sent, seed):
            request = client.build_request(
                sent.method, sent.path, content=sent.body, headers=list(sent.headers.items())
            )
            try:
                answer = client.send(request)
            except httpx.LocalProtocolError:
                return "never left"
            assert answer.status_code < 500 or answer.status_code == 503, (seed, answer.text)
            assert "Traceback" not in answer.text, seed
            if answer.status_code >= 400 and sent.method != "HEAD":
                said = json.loads(answer.text)
                assert said["error"]["code"] if "error" in said else said["message"], seed  # the latter as CompreFace
            return answer.status_code

        yield asked
        assert client.get("/readyz").status_code == 200
        answer = client.post("/identify", files={"image": photo(RED)})
        assert answer.json()["faces"][0]["decision"]["subject_id"] == "red"


@pytest.fixture
def no_trouble(engine, caplog):
    """Nothing unforeseen is in the log, and every worker lives."""
    before = set(engine.stages.workers._workers)
    yield
    failed = [record for record in caplog.get_records("call") if record.exc_info or record.levelno >= logging.ERROR]
    assert [logging.Formatter().format(record) for record in failed] == []
    assert engine.stages.workers._workers == before
    assert all(worker.is_alive() for worker in before)


def resident():
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_photos_are_read_before_they_are_damaged():
    for data in photos():
        assert read_image(data, LIMITS).shape[2] == 3


def test_damage_is_the_same_for_the_same_seed_and_leaves_some_photos_readable(mutator):
    assert [mutator.photo(seed) for seed in range(20)] == [Mutator(photos()).photo(seed) for seed in range(20)]
    outcomes = Counter(outcome(mutator.photo(seed)) for seed in range(QUICK))
    assert {"read", "image_unreadable", "image_type_refused"} <= set(outcomes)
    assert min(outcomes["read"], outcomes["image_unreadable"]) > QUICK / 20  # neither all refused, nor all let by


def outcome(data):
    try:
        image = read_image(data, LIMITS)
    except FacesError as error:
        return error.code
    assert image.dtype == "uint8"
    assert image.size <= 3 * LIMITS.pixels
    return "read"


@pytest.mark.usefixtures("no_trouble")
def test_whatever_is_sent_is_answered_in_words(ask, mutator):
    seen = Counter(ask(mutator.request(seed), seed) for seed in range(QUICK))
    assert {200, 400, 404, 405, 415, 422} <= set(seen)


@pytest.mark.nightly
@pytest.mark.usefixtures("no_trouble")
def test_whatever_is_sent_is_answered_in_words_and_leaves_no_memory_behind(ask, mutator):
    """After a quarter of it, caches are full and memory is what it stays."""
    seen, settled = Counter(), 0
    for seed in range(QUICK, QUICK + LONG):
        seen[ask(mutator.request(seed), seed)] += 1
        if seed == QUICK + LONG // 4:
            settled = resident()
    assert seen.total() == LONG
    assert resident() - settled < 32 * MIB, seen


@pytest.mark.nightly
def test_damaged_photos_are_read_or_refused_and_leave_no_memory_behind(mutator):
    settled = 0
    for seed in range(LONG, 2 * LONG):
        outcome(mutator.photo(seed))
        if seed == LONG + LONG // 4:
            settled = resident()
    assert resident() - settled < 32 * MIB
