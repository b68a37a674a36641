"""What changes something has one of a few turns; nobody keeps one for nothing."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from app.routes import models
from app.service import create_app
from faces.image import ImageLimits
from index.errors import CollectionUnknown
from tests.app import parts
from tests.app.parts import PATIENCE

MANY = 30
"""Requests: more than there are turns, and threads."""
FORM = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/v1/subjects", "application/json"), ("/v1/models/gate", FORM), ("/api/v1/recognition/subjects", "text/plain")],
)
def test_a_body_that_comes_slowly_takes_no_turn(client, url, path, kind):
    host, port = url.removeprefix("http://").split(":")
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: 50\r\n\r\n-"
    with ExitStack() as open_:
        slow = [open_.enter_context(socket.create_connection((host, int(port)))) for _ in range(MANY)]
        for each in slow:
            each.sendall(head.encode())
        assert client.delete("/v1/subjects/red").status_code == 200
        for each in slow:
            each.setblocking(False)
            with pytest.raises(BlockingIOError):  # it is not answered: its body is still waited for
                each.recv(1)


@pytest.fixture
def many_gates(engine, monkeypatch):
    """A client of a service in which many gates measure."""
    measuring, go_on = threading.Event(), threading.Event()

    def measure(*_, **__):
        measuring.set()
        assert go_on.wait(2 * PATIENCE)
        raise CollectionUnknown("no such collection", "a", "There is none.")

    monkeypatch.setattr(engine.changeover, "hear", measure)
    app = create_app(engine, admission=parts.admission(room=1), limits=ImageLimits(), paths_allowed=True)
    with (
        parts.served(app) as url,
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
        ThreadPoolExecutor(MANY) as pool,
    ):
        photo = {"photos": ("red/1.png", parts.photo(parts.RED))}
        asked = [pool.submit(client.post, "/v1/models/gate", data={"model": "a"}, files=photo) for _ in range(MANY)]
        assert measuring.wait(PATIENCE)
        try:
            yield client
        finally:
            go_on.set()
        assert {each.result(PATIENCE).status_code for each in asked} == {404}


def test_gates_that_measure_keep_nobody_from_being_erased(many_gates):
    assert many_gates.delete("/v1/subjects/red").status_code == 200


def test_nor_from_going_back_to_the_model_before(many_gates):
    assert many_gates.post("/v1/models/rollback").status_code == 409  # there is none


def test_gates_that_measure_leave_the_others_their_threads(many_gates):
    assert many_gates.get("/readyz").status_code == 200
    assert many_gates.get("/v1/subjects").status_code == 200
    assert many_gates.post("/identify", files={"image": parts.photo(parts.RED)}).status_code == 200


def test_what_loads_or_measures_a_model_has_turns_of_its_own():
    slow = {route.path for route in models.router.routes if route.slow}
    assert slow == {f"/v1/models/{what}" for what in ("load", "gate", "shadow", "activate")}
