"""More requests than the service takes, and requests in flight when it stops."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx

from app.service import create_app
from faces.image import ImageLimits
from tests.app import parts
from tests.app.parts import RED, photo


def test_who_finds_no_room_is_told_so_and_health_still_answers(engine, held):
    gate = parts.gate(slots=1, waiting=2)
    with (
        parts.served(create_app(engine, gate=gate, limits=ImageLimits())) as url,
        httpx.Client(base_url=url, timeout=60) as client,
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


def test_a_service_that_stops_answers_what_it_has_begun(engine, held):
    app = create_app(engine, gate=parts.gate(), limits=ImageLimits())
    with ThreadPoolExecutor(1) as pool:
        with parts.served(app) as url:
            asked = pool.submit(httpx.post, f"{url}/identify", files={"image": photo(RED)}, timeout=60)
            assert held.inside.wait(30)
            threading.Timer(0.3, held.go_on.set).start()
        assert asked.result().json()["faces"][0]["decision"]["subject_id"] == "red"
