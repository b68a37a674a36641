"""What no client of good will sends, byte by byte: each is refused, and the service goes on."""

import io
import json
import re
import socket
import struct
import tracemalloc
import zlib
from contextlib import contextmanager, suppress

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from tests.app.parts import PATIENCE, RED, photo

pytestmark = pytest.mark.filterwarnings(  # Starlette leaves a part that never ends to the garbage collector
    "ignore:Exception ignored in.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning"
)

FORM = "multipart/form-data; boundary=x"


@pytest.fixture
def say(url):
    """Send these bytes; all that comes back until the service closes."""
    host, port = url.removeprefix("http://").split(":")

    def said(sent):
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            with suppress(OSError):  # it may close at the first of many bytes
                connection.sendall(sent)
            return received(connection)

    yield said
    assert httpx.get(f"{url}/readyz", timeout=PATIENCE).status_code == 200


def received(connection):
    answer = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            answer += piece
    return answer


def status(answer):
    """Of the first answer; None: the connection was closed without one."""
    found = re.match(rb"HTTP/1\.1 (\d+)", answer)
    return found and int(found.group(1))


def request(*headers, method="GET", path="/healthz", host="127.0.0.1", body=b""):
    lines = [f"{method} {path} HTTP/1.1", *([f"Host: {host}"] if host else []), *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(*pieces):
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


MALFORMED = {
    "no host": request(host=None),
    "two hosts": request("Host: evil.example"),
    "a header without a colon": request("nonsense"),
    "a header with a space before its colon": request("x-a : b"),
    "a header with a bare return": request("x-a: b\rc: d"),
    "a header with a zero byte": request("x-a: b\0c"),
    "two lengths": request("Content-Length: 1", "Content-Length: 2", method="POST", body=b"xy"),
    "a negative length": request("Content-Length: -1", method="POST"),
    "a length in words": request("Content-Length: many", method="POST"),
    "a length that is enormous": request("Content-Length: " + "9" * 5000, method="POST"),
    "chunks of no size": request("Transfer-Encoding: chunked", method="POST", path="/identify", body=b"zz\r\n"),
    "an encoding of its own": request("Transfer-Encoding: gzip, chunked", method="POST", path="/identify"),
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no protocol": b"GET /healthz\r\n\r\n",
    "a method that is none": b"G@T /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "headers that never end": b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"x-a: " + b"b" * 200_000,
    "a line that never ends": b"GET /" + b"a" * 200_000,
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_http_is_refused(say, sent):
    assert status(say(sent)) in (400, 401, 413, 421, 501, None)


def test_a_length_beside_chunks_does_not_hide_a_second_request(say):
    """Request smuggling: where the reader of the length and the reader of the chunks disagree, one request is two."""
    hidden = request(path="/readyz")
    answer = say(
        request("Content-Length: 4", "Transfer-Encoding: chunked", method="POST", path="/identify", body=chunked(b"x"))
        + hidden
    )
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert status(answer) == 400


@pytest.mark.parametrize(
    ("header", "value"),
    [("x-request-id", "a\tset-cookie: b=c"), ("x-request-id", "é" * 10), ("x-request-id", "x" * 60_000)],
)
def test_nothing_of_a_header_comes_back_as_another(say, header, value):
    answer = say(request(f"{header}: {value}", "Connection: close"))
    assert b"set-cookie" not in answer
    assert value.encode("latin-1") not in answer


def test_an_address_comes_back_as_data(say):
    answer = say(request("Connection: close", path="/%0d%0aset-cookie:%20a=b/<script>"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status(answer) == 404
    assert b"set-cookie" not in head
    assert json.loads(body)["error"]["code"] == "route_unknown"


def part(name="image", filename="a.png", data=b"", extra=""):
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--x\r\ncontent-disposition: form-data; name="{name}"{file}\r\n{extra}\r\n'
    return head.encode("latin-1", "replace") + data + b"\r\n"


END = b"--x--\r\n"
FORMS = {
    "two photos where one belongs": part(data=b"a") + part(data=b"b") + END,
    "a thousand parts": part(data=b"a") * 1000 + END,
    "a thousand fields": part(filename=None) * 1000 + END,
    "a field as large as a photo": part(filename=None, data=b"a" * 200_000) + END,
    "no end": part(data=b"a"),
    "no parts": END,
    "nothing": b"",
    "a part without a name": b"--x\r\ncontent-disposition: form-data\r\n\r\na\r\n" + END,
    "a part without headers": b"--x\r\n\r\na\r\n" + END,
    "a part with a header of its own length": b"--x\r\n" + b"x" * 100_000 + b": y\r\n\r\na\r\n" + END,
    "a thousand headers": part(extra="x-a: b\r\n" * 1000, data=b"a") + END,
    "another boundary": part(data=b"a").replace(b"--x", b"--y") + b"--y--\r\n",
    "a path as name": part(filename="../../etc/passwd", data=b"a") + END,
    "a zero byte in the name": part(filename="a\0.png", data=b"a") + END,
    "an address": part(filename=None, data=b"http://169.254.169.254/latest/meta-data") + END,
    "a path": part(filename=None, data=b"/etc/passwd") + END,
    "an encoding": part(extra="content-transfer-encoding: base64\r\n", data=b"YQ==") + END,
    "a character set that is none": part(extra="content-type: text/plain; charset=nonsense\r\n", data=b"a") + END,
}


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_a_form_that_is_none_is_refused_in_the_envelope(client, body):
    answer = client.post("/identify", content=body, headers={"content-type": FORM})
    assert answer.status_code in (400, 413, 415, 422)
    assert answer.json()["error"]["code"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("boundary", ["", "x" * 10_000, '"', "x; boundary=y", "\xff", "x\0"])
def test_a_boundary_that_is_none(client, boundary):
    kind = f"multipart/form-data; boundary={boundary}".encode("latin-1")
    try:
        answer = client.post("/identify", content=part(data=b"a") + END, headers={"content-type": kind})
    except (httpx.LocalProtocolError, httpx.RemoteProtocolError):
        return  # it never left, or is no header
    assert answer.status_code in (400, 415, 422)


@given(body=st.binary(max_size=400), cut=st.integers(0, 400))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_form_holds_the_answer_is_in_the_envelope(client, body, cut):
    whole = part(data=photo(RED)) + END
    mangled = whole[:cut] + body + whole[cut + len(body) :]
    answer = client.post("/identify", content=mangled, headers={"content-type": FORM})
    assert answer.status_code in (200, 400, 413, 415, 422)
    if answer.status_code != 200:
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_photo_in_chunks_without_a_length_is_a_photo(say):
    whole = part(data=photo(RED)) + END
    pieces = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    headers = ("Transfer-Encoding: chunked", f"Content-Type: {FORM}", "Connection: close")
    answer = say(request(*headers, method="POST", path="/identify", body=chunked(*pieces)))
    assert status(answer) == 200


def png(width, height, pixels):
    """A PNG that says so of its size, whatever its pixels are."""
    rows = zlib.compress(pixels, 9)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def webp(side):
    file = io.BytesIO()
    Pillow.new("L", (side, side)).save(file, "WEBP", lossless=True, method=0)
    return file.getvalue()


@contextmanager
def little_memory():
    """Less than a bomb's pixels, and more than a request needs."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * 2**20


@pytest.mark.parametrize("side", [10_000, 16_000])
@pytest.mark.parametrize("kind", ["PNG", "WebP"])
def test_a_bomb_is_refused_by_its_header(client, kind, side):
    data = png(side, side, bytes(10**7)) if kind == "PNG" else webp(side)
    assert len(data) < 2**20
    with little_memory():
        answer = client.post("/identify", files={"image": data})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "image_too_large")


def test_pixels_that_are_more_than_the_header_says_are_not_unpacked(client):
    """The header says 8 × 8; what follows would be 100 MB."""
    data = png(8, 8, bytes(10**8))
    with little_memory():
        answer = client.post("/identify", files={"image": data})
    assert answer.status_code in (200, 422)
