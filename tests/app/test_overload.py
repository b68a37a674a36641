"""More requests than the service takes, clients that leave, workers that hang, and requests in flight when it stops."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app.service import create_app
from faces.image import ImageLimits
from index.errors import SubjectUnknown
from tests.app import parts
from tests.app.parts import BLUE, GREEN, PATIENCE, RED, photo


@pytest.fixture
def ask(url):
    """Ask in another thread: the answer to be."""
    with ThreadPoolExecutor(20) as pool:
        yield lambda data, **query: pool.submit(
            httpx.post, f"{url}/identify", files={"image": data}, timeout=PATIENCE, **query
        )


def waiting(engine):
    """Photos that nobody looks at yet."""
    return engine.stages.workers.waiting(engine.stages.looking)


def error_of(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_who_finds_no_room_is_told_so_and_health_still_answers(engine, held):
    admission = parts.admission(room=3)
    with (
        parts.served(create_app(engine, admission=admission, limits=ImageLimits())) as url,
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
        ThreadPoolExecutor(20) as pool,
    ):
        asked = [pool.submit(client.post, "/identify", files={"image": photo(RED)}) for _ in range(20)]
        parts.wait_until(lambda: sum(each.done() for each in asked) == 17)
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        held.go_on.set()
        answers = [each.result() for each in asked]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert sorted({answer.status_code for answer in answers}) == [200, 503]
    assert len(refused) == 17
    assert {answer.json()["error"]["code"] for answer in refused} == {"overloaded"}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}


def test_a_turn_that_does_not_come_in_the_time_that_the_client_gave_is_refused(held, ask):
    first = ask(photo(RED))
    assert held.inside.wait(PATIENCE)
    late = ask(photo(GREEN), headers={"x-timeout": "0.001"})
    answer = late.result(PATIENCE)  # the supervisor looks every second
    assert error_of(answer) == (503, "deadline_passed")
    assert answer.headers["retry-after"] == "1"
    held.go_on.set()
    assert first.result(PATIENCE).status_code == 200


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
def test_a_time_that_is_none_is_refused(ask, seconds):
    assert error_of(ask(photo(RED), headers={"x-timeout": seconds}).result(PATIENCE)) == (400, "invalid_request")


def test_a_client_that_leaves_while_waiting_costs_nothing(engine, held, ask, url, monkeypatch):
    looked, detect = [], engine.stages.detector.detect
    monkeypatch.setattr(engine.stages.detector, "detect", lambda images: looked.extend(images) or detect(images))
    first = ask(photo(RED))
    assert held.inside.wait(PATIENCE)
    request = httpx.Request("POST", f"{url}/identify", files={"image": photo(BLUE)})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection((request.url.host, request.url.port)) as leaving:
        leaving.sendall(f"POST /identify HTTP/1.1\r\n{head}\r\n".encode() + request.read())
        parts.wait_until(lambda: waiting(engine) == 1)
    parts.wait_until(lambda: waiting(engine) == 0)
    last = ask(photo(GREEN))
    parts.wait_until(lambda: waiting(engine) == 1)
    held.go_on.set()
    for answer, subject in ((first, "red"), (last, "green")):
        assert answer.result(PATIENCE).json()["faces"][0]["decision"]["subject_id"] == subject
    assert len(looked) == 2


def test_a_worker_that_hangs_is_replaced_and_the_others_are_answered(engine, held, ask):
    engine.stages.workers._stuck_after = 0.0
    stuck = ask(photo(RED))
    assert held.inside.wait(PATIENCE)
    answer = stuck.result(PATIENCE)
    assert error_of(answer) == (503, "worker_stuck")
    assert "retry-after" in answer.headers
    engine.stages.workers._stuck_after = 60.0
    held.go_on.set()
    assert ask(photo(GREEN)).result(PATIENCE).json()["faces"][0]["decision"]["subject_id"] == "green"


def test_a_service_whose_workers_keep_dying_is_not_ready(client, engine, monkeypatch):
    def die(_):
        raise SystemExit

    monkeypatch.setattr(engine.stages.detector, "detect", die)
    for _ in range(3):
        assert client.get("/readyz").status_code == 200
        assert error_of(client.post("/identify", files={"image": photo(RED)})) == (503, "worker_lost")
    assert error_of(client.get("/readyz")) == (503, "not_ready")
    assert client.get("/healthz").status_code == 200


def test_a_photo_that_cannot_be_read_does_not_harm_its_neighbours(ask):
    asked = [ask(photo(RED) if i % 2 else photo(RED)[:60]) for i in range(12)]
    assert [answer.result(PATIENCE).status_code for answer in asked] == [422, 200] * 6


def test_a_service_that_stops_answers_what_it_has_begun(engine, held):
    app = create_app(engine, admission=parts.admission(), limits=ImageLimits())
    with ThreadPoolExecutor(1) as pool:
        with parts.served(app) as url:
            asked = pool.submit(httpx.post, f"{url}/identify", files={"image": photo(RED)}, timeout=PATIENCE)
            assert held.inside.wait(PATIENCE)
            threading.Timer(0.3, held.go_on.set).start()
        assert asked.result().json()["faces"][0]["decision"]["subject_id"] == "red"


def test_a_threshold_that_has_to_be_measured_keeps_no_worker_from_other_photos(engine, ask, monkeypatch):
    """There is one worker; two requests wait for a measurement that goes on."""
    measuring, go_on = threading.Event(), threading.Event()

    def measure(table, _fpir):
        measuring.set()
        assert go_on.wait(2 * PATIENCE)
        return next(iter(table.by_fpir.values()))

    monkeypatch.setattr(engine.thresholds, "_measured", measure)
    waiting_for_it = [ask(photo(RED), params={"fpir": 0.05}) for _ in range(2)]
    assert measuring.wait(PATIENCE)
    assert ask(photo(GREEN)).result(PATIENCE).status_code == 200
    assert not any(each.done() for each in waiting_for_it)
    go_on.set()
    assert [each.result(PATIENCE).status_code for each in waiting_for_it] == [200, 200]


def test_many_who_wait_to_change_something_leave_the_others_their_threads(engine, monkeypatch):
    """As when a process keeps a read of the file open: each waits until what was erased is overwritten."""
    forgetting, go_on = threading.Semaphore(0), threading.Event()

    def wait(*_, **__):
        forgetting.release()
        assert go_on.wait(2 * PATIENCE)
        raise SubjectUnknown("no such Subject", "anybody", "There is none.")

    monkeypatch.setattr(type(engine.gallery), "forget", wait)
    app = create_app(engine, admission=parts.admission(room=1), limits=ImageLimits())
    with (
        parts.served(app) as url,
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
        ThreadPoolExecutor(30) as pool,
    ):
        erasing = [pool.submit(client.delete, "/v1/subjects/anybody") for _ in range(30)]
        assert forgetting.acquire(timeout=PATIENCE)
        try:
            assert client.get("/readyz").status_code == 200
            assert client.get("/v1/subjects").status_code == 200
            assert client.post("/identify", files={"image": photo(RED)}).status_code == 200
        finally:
            go_on.set()
        assert {each.result(PATIENCE).status_code for each in erasing} == {404}
