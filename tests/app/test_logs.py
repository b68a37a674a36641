"""What the log says, and what it never does."""

import io
import json
import logging

import httpx
import pytest

from app.errors import Overloaded
from app.logs import JsonLines, TextLines, log_event, log_failure, set_up_logs
from app.service import create_app
from app.trust import trust_of
from faces.image import ImageLimits
from index.keyring import Keyring
from tests.app import parts
from tests.app.parts import RED, photo

LOG = logging.getLogger("tests.logs")
CANARY = "canary"


@pytest.fixture
def lines():
    """What was logged, formatted by this."""
    handler = logging.StreamHandler(io.StringIO())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)

    def formatted(formatter):
        handler.setFormatter(formatter)
        return handler.stream

    yield formatted
    root.removeHandler(handler)
    root.setLevel(level)


def fail(error):
    try:
        raise ValueError(f"{CANARY} of the cause") from OSError(28, "No space left on device", CANARY)
    except ValueError as cause:
        try:
            raise error from cause
        except type(error):
            log_failure(LOG, "failed", request_id="one")


def test_a_line_of_json_is_an_event_with_its_facts(lines):
    stream = lines(JsonLines())
    log_event(LOG, logging.INFO, "answered", request_id="one", status=200, ms=1.5, caller=None)
    told = json.loads(stream.getvalue())
    assert told.pop("at").endswith("+00:00")
    assert told == {
        "level": "INFO", "logger": "tests.logs", "message": "answered", "request_id": "one", "status": 200, "ms": 1.5,
    }  # fmt: skip


def test_a_line_of_text_is_the_same_for_people(lines):
    stream = lines(TextLines())
    log_event(LOG, logging.INFO, "answered", request_id="one", status=200)
    assert stream.getvalue().endswith(" INFO tests.logs: answered request_id=one status=200\n")


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()], ids=["json", "text"])
def test_nothing_that_is_said_begins_a_line_of_its_own(lines, formatter):
    stream = lines(formatter)
    log_event(LOG, logging.INFO, "one\n2026 INFO forged", route="a\r\nb\u2028c")
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()], ids=["json", "text"])
def test_of_a_foreign_exception_kind_and_place_are_told_and_not_its_message(lines, formatter):
    stream = lines(formatter)
    fail(RuntimeError(f"{CANARY} inside"))
    told = stream.getvalue()
    assert CANARY not in told
    assert told.index("OSError: No space left on device") < told.index("ValueError") < told.index("RuntimeError")
    assert "test_logs.py:" in told


def test_of_an_exception_of_ours_the_sentence_is_told(lines):
    stream = lines(TextLines())
    fail(Overloaded("too many requests are waiting", 32, "Try again."))
    assert "Overloaded: too many requests are waiting: 32. Try again." in stream.getvalue()


def test_where_nobody_looks_the_log_is_json():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        set_up_logs("auto", io.StringIO())
        (handler,) = root.handlers
        assert isinstance(handler.formatter, JsonLines)
        set_up_logs("text", io.StringIO())
        assert isinstance(root.handlers[0].formatter, TextLines)
    finally:
        logging.captureWarnings(False)
        root.handlers[:], root.level = before, level


@pytest.fixture
def answered(engine, lines, gallery_path, settings):
    """Ask a service that wants a key: the key, and all that the service's process logged but for its own client."""
    stream = lines(JsonLines())
    token = parts.make_key(gallery_path, "identify", "admin")

    def ask(*asked, **content):
        headers = {"authorization": f"Bearer {token}"} | content.pop("headers", {})
        trust = trust_of(settings, Keyring(engine.gallery.store), loopback=True, name="here")
        app = create_app(engine, admission=parts.admission(), limits=ImageLimits(), trust=trust)
        with parts.served(app) as url, httpx.Client(base_url=url, timeout=parts.PATIENCE) as client:
            client.request(*asked, headers=headers, **content)
        events = [json.loads(line) for line in stream.getvalue().splitlines()]
        return token, [event for event in events if not event["logger"].startswith("http")]

    return ask


def answers(events):
    return [event for event in events if event["logger"] == "app.requests"]


def test_a_request_is_a_line_with_its_id_caller_route_status_and_time(answered):
    token, events = answered("GET", "/v1/models", headers={"x-request-id": "find-me"})
    (event,) = answers(events)
    assert (event["request_id"], event["caller"]) == ("find-me", token.split("_")[1])
    assert (event["method"], event["route"], event["status"]) == ("GET", "/v1/models", 200)
    assert event["ms"] > 0


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/subjects/zoe", "/v1/subjects/{subject_id}"),
        ("/v1/collections/visitors/subjects/zoe", "/v1/collections/{collection}/subjects/{subject_id}"),
        ("/people/zoe", None),
    ],
)
def test_the_address_is_logged_as_the_api_writes_it(answered, path, route):
    _, events = answered("GET", path)
    (event,) = answers(events)
    assert event.get("route") == route


REQUESTS = {
    "a query": ("GET", "/v1/models?name=canary&api_key=canary", {}),
    "an unknown address": ("GET", "/v1/subjects/canary", {}),
    "a name of a file": ("POST", "/identify", {"files": {"image": ("canary.png", photo(RED))}}),
    "a photo": ("POST", "/identify", {"files": {"image": ("a.png", b"canary")}}),
    "a field": ("POST", "/identify", {"data": {"canary": "canary"}}),
    "JSON": ("POST", "/v1/models/activate", {"json": {"model": "canary", "canary": "canary"}}),
    "no JSON": ("POST", "/v1/models/activate", {"content": b"canary", "headers": {"content-type": "application/json"}}),
    "a wrong key": ("GET", "/v1/models", {"headers": {"authorization": "Bearer hl_canary"}}),
    "a request id": ("GET", "/v1/models", {"headers": {"x-request-id": "<canary>"}}),
    "headers": ("GET", "/v1/models", {"headers": {"origin": "https://canary", "cookie": "canary"}}),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_nothing_of_what_a_caller_sends_is_in_the_log(answered, request_):
    method, path, content = request_
    token, events = answered(method, path, **content)
    assert answers(events)
    told = json.dumps(events)
    assert CANARY not in told
    assert token not in told
    assert token.split("_")[2] not in told


@pytest.mark.parametrize("error", [RuntimeError, KeyError, ExceptionGroup])
def test_nor_is_anybodys_name_when_the_service_fails(answered, engine, monkeypatch, error):
    def stumble(*_, **__):
        raise error("canary", *([[ValueError("canary")]] if error is ExceptionGroup else []))

    monkeypatch.setattr(engine, "identify", stumble)
    _, events = answered("POST", "/identify", files={"image": photo(RED)})
    assert [event["message"] for event in answers(events)] == ["failed", "answered"]
    assert error.__name__ in json.dumps(events)
    assert CANARY not in json.dumps(events)


def test_nor_are_names_and_scores_of_an_answer(answered):
    _, events = answered("POST", "/identify", files={"image": photo(RED)})
    assert set(answers(events)[0]) == {
        "at", "level", "logger", "message", "request_id", "caller", "method", "route", "status", "ms",
    }  # fmt: skip
