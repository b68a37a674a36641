"""deploy/nginx.conf.template in front of the service, as compose.yaml uses it."""

import shutil
import socket
import ssl
import string
import subprocess
from pathlib import Path

import httpx
import pytest

from app.service import create_app
from app.settings import Settings
from app.trust import trust_of
from faces.image import ImageLimits
from index.keyring import Keyring
from tests.app import parts
from tests.app.parts import RED, photo
from tests.ports import unused_port

TEMPLATE = Path(__file__).parents[2] / "deploy" / "nginx.conf.template"
NAME = "faces.test"
MAIN = """\
daemon off;
pid $folder/nginx.pid;
error_log $folder/error.log;
events {}
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    include $folder/heirloom.conf;
}
"""

pytestmark = pytest.mark.skipif(
    not (shutil.which("nginx") and shutil.which("openssl")), reason="needs nginx and openssl on the PATH"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A folder with a certificate for NAME that signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    arguments = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={NAME}"
    files = [
        "-addext",
        f"subjectAltName=DNS:{NAME}",
        "-keyout",
        folder / "privkey.pem",
        "-out",
        folder / "fullchain.pem",
    ]
    subprocess.run(["openssl", *arguments.split(), *files], check=True, capture_output=True)
    return folder


@pytest.fixture
def token(gallery_path):
    return parts.make_key(gallery_path, "identify")


@pytest.fixture
def proxied(engine, gallery_path, certificate, token, tmp_path, monkeypatch):
    """The port of nginx in front of a service on loopback that takes photos of 20,000 bytes."""
    assert token
    monkeypatch.setenv("HEIRLOOM_PROXIES", "127.0.0.1")
    monkeypatch.setenv("HEIRLOOM_RATE", "0.001")
    monkeypatch.setenv("HEIRLOOM_BURST", "40")
    settings = Settings(gallery=gallery_path)
    trust = trust_of(settings, Keyring(engine.gallery.store), loopback=True, name="here")
    app = create_app(engine, admission=parts.admission(), limits=ImageLimits(bytes=20_000), trust=trust)
    with parts.served(app) as url:
        yield from nginx(tmp_path, url.removeprefix("http://"), certificate)


def nginx(folder, upstream, certificate):
    port = unused_port()
    values = {
        "HEIRLOOM_NAME": NAME, "HEIRLOOM_UPSTREAM": upstream, "HEIRLOOM_TLS": certificate, "HEIRLOOM_TLS_PORT": port,
    }  # fmt: skip
    filled = string.Template(TEMPLATE.read_text()).safe_substitute(values)
    (folder / "heirloom.conf").write_text(filled)
    (folder / "nginx.conf").write_text(string.Template(MAIN).substitute(folder=folder))
    process = subprocess.Popen(["nginx", "-e", folder / "error.log", "-c", folder / "nginx.conf"])
    try:
        parts.wait_until(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "error.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait()


def answers(port):
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def caller(proxied, certificate):
    """Ask nginx by its name, from this address."""
    context = ssl.create_default_context(cafile=certificate / "fullchain.pem")

    def ask(method, path, *, address="127.0.0.1", name=NAME, headers=None, **content):
        transport = httpx.HTTPTransport(verify=context, local_address=address)
        with httpx.Client(transport=transport, timeout=parts.PATIENCE) as client:
            sent = {"host": name} | (headers or {})
            url = f"https://127.0.0.1:{proxied}{path}"
            return client.request(method, url, headers=sent, extensions={"sni_hostname": name}, **content)

    return ask


def test_a_photo_is_answered_by_way_of_tls(caller, token):
    answer = caller("POST", "/identify", headers={"x-api-key": token}, files={"image": photo(RED)})
    assert answer.json()["faces"][0]["decision"]["subject_id"] == "red"
    assert answer.headers["strict-transport-security"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "nginx/" not in answer.headers["server"]


def test_without_a_key_the_service_says_so_and_not_the_proxy(caller):
    for body in (photo(RED), b"x" * 3_000_000):
        answer = caller("POST", "/identify", files={"image": body})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "key_required")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_body_that_is_too_long_is_refused_by_the_service_in_words(caller, token):
    for _ in range(10):
        answer = caller("POST", "/identify", headers={"x-api-key": token}, files={"image": b"x" * 3_000_000})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
def test_who_the_caller_is_the_proxy_says_and_not_the_caller(caller, header):
    """Forty wrong keys are let by for each address, and it does not help to claim another one."""
    guesses = [
        caller(
            "GET", "/v1/models", address="127.0.0.2", headers={"x-api-key": "no", header: f"203.0.113.{n}"}
        ).status_code
        for n in range(41)
    ]
    assert guesses == [401] * 40 + [429]
    assert caller("GET", "/v1/models", address="127.0.0.3", headers={"x-api-key": "no"}).status_code == 401


def test_who_asks_for_another_name_is_not_answered(caller):
    with pytest.raises(httpx.ConnectError, match=r"(?i)unrecognized"):
        caller("GET", "/healthz", name="evil.test")


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/x/../metrics?a=b"])
def test_the_figures_are_not_for_those_outside_key_or_not(caller, gallery_path, path):
    key = {"x-api-key": parts.make_key(gallery_path, "audit")}
    answer = caller("GET", path, headers=key)
    assert answer.status_code == 404
    assert "heirloom_" not in answer.text


def test_what_comes_without_tls_is_not_served(proxied):
    answer = httpx.get(f"http://127.0.0.1:{proxied}/healthz", timeout=parts.PATIENCE)
    assert answer.status_code == 400
    assert "ok" not in answer.text


def test_headers_that_never_end_are_refused(caller, token):
    answer = caller("GET", "/v1/models", headers={"x-api-key": token, "x-much": "x" * 40_000})
    assert answer.status_code == 400
