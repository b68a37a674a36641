"""Who may ask, and for what."""

from datetime import UTC, datetime, timedelta
from functools import partial

import anyio
import httpx
import pytest
from fastapi import Depends, FastAPI, UploadFile
from fastapi.routing import iter_route_contexts

from app.envelope import handle_errors
from app.errors import KeyNeeded
from app.middleware import BodyLimit, Requests
from app.ratelimit import Rate, RateLimit
from app.routes.guarded import MOST_PHOTOS, Guarded, Photos
from app.security import Access, anybody, require
from app.service import create_app
from app.settings import Settings
from app.trust import Trust, trust_of
from faces.image import ImageLimits
from index.access import AccessKey
from index.errors import AccessRefused
from tests.app import parts

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
OPEN = {"/healthz", "/readyz", "/openapi.json", "/docs", "/docs/oauth2-redirect"}
"""Health, and what a service says of itself."""


class Keys:
    """A Keyring in memory: the text of a key is its id."""

    def __init__(self, *keys):
        self.known = {key.key_id: key for key in keys}
        self.asked = []

    def find(self, token, now):
        self.asked.append(token)
        key = self.known.get(token)
        if key is None or (key.expires and datetime.fromisoformat(key.expires) <= now):
            raise AccessRefused("no such API key", token, "Ask for a new one.")
        return key

    def any(self):
        return bool(self.known)


def key(key_id, *scopes, collections=(), expires=None):
    return AccessKey(key_id, "a test", scopes, collections, NOW.isoformat(), expires and expires.isoformat(), None)


class Clock:
    def __init__(self):
        self.now, self.ticks = NOW, 0.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def service(clock):
    """A client of the smallest service with these keys."""

    def made(keyring, *, rate=None, open_allowed=True, client=("198.51.100.7", 1)):
        access = Access(keyring, open_allowed=open_allowed, rate=rate, now=lambda: clock.now, ticks=lambda: clock.ticks)
        app = FastAPI()
        app.router.route_class = Guarded
        app.state.access = access
        handle_errors(app)
        app.add_middleware(Requests)

        @app.get("/enrol", dependencies=[Depends(require("enrol"))])
        @app.get("/in/{collection}", dependencies=[Depends(require("enrol"))])
        @app.get("/either", dependencies=[Depends(require("audit", "enrol"))])
        @app.get("/everywhere", dependencies=[Depends(require("enrol", everywhere=True))])
        async def _() -> str:
            return "done"

        return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=client), base_url="http://here")

    return made


def answer(client, path="/enrol", **headers):
    """Status and code."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    response = anyio.run(partial(client.get, path, headers=sent))
    code = response.json()["error"]["code"] if response.status_code != 200 else None
    return response.status_code, code


ENROL = key("aaa", "enrol")


@pytest.mark.parametrize(
    "headers", [{"authorization": "Bearer aaa"}, {"authorization": "bearer  aaa"}, {"x_api_key": "aaa"}]
)
def test_a_key_is_sent_in_either_header(service, headers):
    assert answer(service(Keys(ENROL)), **headers) == (200, None)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic YWFhOg=="},
        {"authorization": "aaa"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer aaa", "x_api_key": "bbb"},
        {"cookie": "x-api-key=aaa"},
    ],
)
def test_none_or_more_than_one_is_asked_to_send_one(service, headers):
    assert answer(service(Keys(ENROL)), **headers) == (401, "key_required")


def test_a_key_in_the_address_is_none(service):
    keyring = Keys(ENROL)
    assert answer(service(keyring), "/enrol?api_key=aaa&x-api-key=aaa&access_token=aaa") == (401, "key_required")
    assert keyring.asked == []


def test_an_unknown_key_is_refused(service):
    assert answer(service(Keys(ENROL)), x_api_key="bbb") == (401, "access_refused")


def test_a_key_that_expires_is_refused_from_then_on(service, clock):
    client = service(Keys(key("aaa", "enrol", expires=NOW + timedelta(hours=1))))
    assert answer(client, x_api_key="aaa") == (200, None)
    clock.now += timedelta(hours=1)
    assert answer(client, x_api_key="aaa") == (401, "access_refused")


def test_a_key_without_the_scope_is_403(service):
    client = service(Keys(key("aaa", "identify", "admin", "audit")))
    assert answer(client, x_api_key="aaa") == (403, "not_permitted")


def test_one_of_several_scopes_is_enough(service):
    for scope in ("audit", "enrol"):
        assert answer(service(Keys(key("aaa", scope))), "/either", x_api_key="aaa") == (200, None)


@pytest.mark.parametrize(
    ("path", "status"), [("/in/mine", 200), ("/in/theirs", 403), ("/enrol", 403), ("/everywhere", 403)]
)
def test_a_key_for_a_collection_is_for_that_one_alone(service, path, status):
    client = service(Keys(key("aaa", "enrol", collections=("mine",))))
    assert answer(client, path, x_api_key="aaa")[0] == status


def test_an_address_without_a_collection_means_the_default_one(service):
    client = service(Keys(key("aaa", "enrol", collections=("default",))))
    assert answer(client, x_api_key="aaa") == (200, None)


def test_a_service_is_open_until_there_is_a_key_and_never_again(service):
    keyring = Keys()
    client = service(keyring)
    assert answer(client) == (200, None)
    keyring.known["aaa"] = ENROL
    assert answer(client) == (401, "key_required")
    keyring.known.clear()
    assert answer(client) == (401, "key_required")


def test_an_exposed_service_is_never_open(service):
    assert answer(service(Keys(), open_allowed=False)) == (401, "key_required")


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "x_real_ip"])
def test_an_open_service_answers_nobody_who_comes_through_a_proxy(service, header):
    assert answer(service(Keys()), **{header: "203.0.113.9"}) == (401, "key_required")


def test_each_key_has_a_rate_of_its_own(service, clock):
    client = service(Keys(ENROL, key("bbb", "enrol")), rate=RateLimit(Rate(1, 2)))
    assert [answer(client, x_api_key="aaa")[0] for _ in range(3)] == [200, 200, 429]
    assert answer(client, x_api_key="bbb") == (200, None)
    clock.ticks += 1
    assert answer(client, x_api_key="aaa") == (200, None)


def test_an_open_service_holds_each_address_to_the_rate(service):
    rate = RateLimit(Rate(1, 1))
    mine, theirs = (service(Keys(), rate=rate, client=(host, 1)) for host in ("192.0.2.1", "192.0.2.2"))
    assert [answer(mine)[0], answer(mine)[0], answer(theirs)[0]] == [200, 429, 200]


def test_guessing_at_keys_is_held_to_the_rate_and_does_not_use_up_a_keys_own(service):
    client = service(Keys(ENROL), rate=RateLimit(Rate(1, 2)))
    assert [answer(client, x_api_key=f"guess {n}")[0] for n in range(3)] == [401, 401, 429]
    assert answer(client, x_api_key="aaa") == (200, None)


def test_a_household_of_ipv6_is_one_caller(service):
    rate = RateLimit(Rate(1, 1))
    hosts = ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1")
    assert [answer(service(Keys(), rate=rate, client=(host, 1)))[0] for host in hosts] == [200, 429, 200]


@pytest.mark.parametrize(("peer", "statuses"), [("10.0.0.9", [401, 401]), ("10.9.9.9", [401, 429])])
def test_the_word_of_a_named_proxy_is_taken_and_of_nobody_else(peer, statuses):
    """Two callers behind it; or one that claims to be two."""
    access = Access(Keys(ENROL), open_allowed=False, rate=RateLimit(Rate(1, 1)), now=lambda: NOW, ticks=lambda: 0.0)
    trust = Trust(access, exposed=True, proxies=("10.0.0.0/24",))
    app = create_app(None, admission=parts.admission(), limits=ImageLimits(), trust=trust)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(peer, 1)), base_url="http://here")
    callers = ("203.0.113.1", "203.0.113.2")
    assert [answer(client, "/v1/models", x_forwarded_for=caller)[0] for caller in callers] == statuses


def test_being_too_fast_is_429_and_says_when_to_come_back(service):
    client = service(Keys(), rate=RateLimit(Rate(0.1, 1)))
    answer(client)
    response = anyio.run(client.get, "/enrol")
    assert response.headers["retry-after"] == "10"
    assert response.json()["error"]["details"]["value"] == 10


def test_every_address_but_health_asks_who_is_there():
    app = create_app(None, admission=parts.admission(), limits=ImageLimits())
    routes = [context.original_route for context in iter_route_contexts(app.routes)]
    assert {route.path for route in routes if not asks_who_is_there(route)} == OPEN


def asks_who_is_there(route):
    return isinstance(route, Guarded) and bool(route.requires)


@pytest.mark.parametrize(("keyring", "status"), [(Keys(ENROL), 403), (Keys(), 401)], ids=["no scope", "no key"])
def test_who_is_refused_is_refused_before_a_byte_is_read(keyring, status):
    """FastAPI alone would take the whole body first."""
    access = Access(keyring, open_allowed=False, rate=None, now=lambda: NOW, ticks=lambda: 0.0)
    app = create_app(None, admission=parts.admission(), limits=ImageLimits(), trust=Trust(access, exposed=True))
    read = []

    async def body():
        read.append("a piece")
        yield b"x"

    headers = {"content-type": "multipart/form-data; boundary=x", "x-api-key": "aaa"}
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")
    response = anyio.run(partial(client.post, "/identify", content=body(), headers=headers))
    assert (response.status_code, read) == (status, [])


@pytest.mark.parametrize(
    ("photos", "bytes_", "status"),
    [(20, 10, 200), (21, 10, 400), (20, 4_000, 200), (5, 80_000, 413)],
    ids=["as many as allowed", "one more", "as large as allowed", "too large"],
)
def test_a_route_says_how_many_photos_its_body_may_hold(photos, bytes_, status):
    """Each of 10,000 bytes."""
    app = FastAPI()
    app.router.route_class = Guarded
    app.state.access = anybody()
    handle_errors(app)
    app.add_middleware(BodyLimit, photo=10_000, seconds=60)
    app.add_middleware(Requests)

    @app.post("/photos", dependencies=[Depends(require("enrol")), Depends(Photos(MOST_PHOTOS))])
    async def _(images: list[UploadFile]) -> int:
        return len(images)

    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")
    files = [("images", (f"{n}.png", b"x" * bytes_)) for n in range(photos)]
    assert anyio.run(partial(client.post, "/photos", files=files)).status_code == status


@pytest.mark.parametrize(("loopback", "proxies"), [(False, ""), (True, "127.0.0.1"), (False, "10.0.0.0/8")])
def test_a_service_that_others_can_reach_needs_a_key_before_it_starts(monkeypatch, loopback, proxies):
    monkeypatch.setenv("HEIRLOOM_PROXIES", proxies)
    settings = Settings(gallery="people.heirloom")
    with pytest.raises(KeyNeeded, match=r"http://here.*app keys create LABEL"):
        trust_of(settings, Keys(), loopback=loopback, name="http://here")
    assert trust_of(settings, Keys(ENROL), loopback=loopback, name="http://here").exposed


def test_a_service_on_loopback_needs_none():
    trust = trust_of(Settings(gallery="people.heirloom"), Keys(), loopback=True, name="http://here")
    assert (trust.exposed, trust.hosts) == (False, frozenset())
