"""What a browser is told, and kept from."""

from functools import partial

import anyio
import httpx
import pytest

from app.security import anybody
from app.service import create_app
from app.trust import Trust
from faces.image import ImageLimits
from tests.app import parts

PAGE = "https://console.example"


@pytest.fixture
def ask():
    """Ask a service that is trusted so for an address, with these headers."""

    def asked(method, path, *, base="http://127.0.0.1:8000", exposed=False, hosts=None, origins=(), **headers):
        trust = Trust(anybody(), exposed, None if hosts is None else frozenset(hosts), frozenset(origins))
        app = create_app(None, admission=parts.admission(), limits=ImageLimits(), trust=trust)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return anyio.run(partial(client.request, method, path, headers=sent))

    return asked


def code(response):
    return response.status_code, response.json()["error"]["code"] if response.status_code >= 400 else None


def test_no_answer_may_be_kept_framed_guessed_at_or_loaded_into_a_page(ask):
    for path in ("/healthz", "/nowhere", "/openapi.json", "/docs"):
        headers = ask("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["content-security-policy"].startswith("default-src 'none'")


def test_the_page_docs_may_load_what_it_is_made_of(ask):
    page = ask("GET", "/docs")
    policy = page.headers["content-security-policy"]
    assert "https://cdn.jsdelivr.net" in page.text
    assert "script-src https://cdn.jsdelivr.net" in policy
    assert "cdn.jsdelivr" not in ask("GET", "/healthz").headers["content-security-policy"]


def test_a_service_that_others_can_reach_runs_nobody_elses_scripts(ask):
    answer = ask("GET", "/docs", exposed=True)
    assert (answer.status_code, answer.headers["location"]) == (307, "/openapi.json")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8000", "localhost:8000", "LOCALHOST", "localhost.", "[::1]:8000", "127.1.2.3"]
)
def test_loopback_is_always_a_name_of_the_service(ask, host):
    assert code(ask("GET", "/healthz", hosts=(), host=host)) == (200, None)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "[::1"],
)
def test_another_name_is_refused_so_that_dns_rebinding_ends_here(ask, host):
    assert code(ask("GET", "/healthz", hosts=(), host=host)) == (421, "host_refused")


def test_names_that_were_given_are_answered_to(ask):
    assert code(ask("GET", "/healthz", hosts=("faces.example",), host="Faces.Example:443")) == (200, None)
    assert code(ask("GET", "/healthz", hosts=("faces.example",), host="evil.example")) == (421, "host_refused")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:3000", "http://127.0.0.1", "", "://"]
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/healthz"), ("POST", "/v1/models/rollback"), ("OPTIONS", "/identify")]
)
def test_a_page_of_another_origin_may_not_ask(ask, method, path, origin):
    """A form that it submits would need no leave of CORS."""
    answer = ask(method, path, origin=origin, access_control_request_method="POST")
    assert code(answer) == (403, "origin_refused")
    assert "access-control-allow-origin" not in answer.headers


def test_a_page_of_the_service_itself_may(ask):
    assert code(ask("GET", "/healthz", origin="http://127.0.0.1:8000")) == (200, None)
    behind_tls = ask("GET", "/healthz", host="faces.example", origin="https://faces.example")
    assert code(behind_tls) == (200, None)


def test_an_origin_that_was_named_may_ask_and_read(ask):
    answer = ask("GET", "/healthz", origins=(PAGE,), origin=PAGE)
    assert code(answer) == (200, None)
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    assert "origin" in answer.headers["vary"].lower()
    assert "access-control-allow-credentials" not in answer.headers


def test_its_browser_asks_before_it_sends_a_key(ask):
    answer = ask("OPTIONS", "/identify", origins=(PAGE,), origin=PAGE, access_control_request_method="POST")
    assert answer.status_code == 204
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "POST" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize("origin", ["https://console.example.evil.example", "http://console.example", f"{PAGE}:8443"])
def test_an_origin_that_only_looks_like_it_may_not(ask, origin):
    assert code(ask("GET", "/healthz", origins=(PAGE,), origin=origin)) == (403, "origin_refused")


def test_an_error_too_can_be_read_by_the_page(ask):
    answer = ask("GET", "/nowhere", origins=(PAGE,), origin=PAGE)
    assert code(answer) == (404, "route_unknown")
    assert answer.headers["access-control-allow-origin"] == PAGE
