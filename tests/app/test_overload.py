"""More requests than the service takes: refused at once and told when to come back, while health still answers."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app.service import create_app
from faces.image import ImageLimits
from tests.app import parts
from tests.app.parts import RED, photo


@pytest.fixture
def held(engine, monkeypatch):
    """Identification stops inside until this event is set."""
    go_on = threading.Event()
    whole = engine.identify

    def identify(data, top_k):
        assert go_on.wait(30)
        return whole(data, top_k)

    monkeypatch.setattr(type(engine), "identify", lambda _, data, top_k: identify(data, top_k))
    yield go_on
    go_on.set()


def test_who_finds_no_room_is_told_so_and_those_inside_are_answered(engine, held):
    gate = parts.gate(slots=1, waiting=2)
    with (
        parts.served(create_app(engine, gate=gate, limits=ImageLimits())) as url,
        httpx.Client(base_url=url, timeout=60) as client,
        ThreadPoolExecutor(20) as pool,
    ):
        asked = [pool.submit(client.post, "/identify", files={"image": photo(RED)}) for _ in range(20)]
        parts.wait_until(lambda: sum(each.done() for each in asked) == 17)
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        held.set()
        answers = [each.result() for each in asked]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert sorted({answer.status_code for answer in answers}) == [200, 503]
    assert len(refused) == 17
    assert {answer.json()["error"]["code"] for answer in refused} == {"overloaded"}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
