"""Requests that cannot be answered: each has its status, its code, and the envelope."""

import struct
import zlib

import anyio
import httpx
import pytest

from app.errors import RequestTooLarge, RequestTooSlow
from app.middleware import BodyLimit
from app.service import create_app
from faces.image import ImageLimits
from tests.app import parts
from tests.app.parts import RED, photo


def png_header(width, height):
    """A PNG of 90 bytes that claims to be this large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def upload(data, name="photo.png"):
    return {"files": {"image": (name, data)}}


JPEG = photo(RED, kind="JPEG")
REFUSED = {
    "zero bytes": (upload(b""), 422, "image_unreadable"),
    "not an image": (upload(b"%PDF-1.7 and more"), 415, "image_type_refused"),
    "an image of another type": (upload(photo(RED, kind="GIF")), 415, "image_type_refused"),
    "a text that is called .jpg": (upload(b"hello", "photo.jpg"), 415, "image_type_refused"),
    "truncated": (upload(JPEG[: len(JPEG) // 2]), 422, "image_unreadable"),
    "damaged": (upload(photo(RED)[:60] + b"\0" * 40), 422, "image_unreadable"),
    "50,000 × 50,000 pixels": (upload(png_header(50_000, 50_000)), 413, "image_too_large"),
    "no field": ({}, 400, "invalid_request"),
    "another field": ({"files": {"photo": ("photo.png", photo(RED))}}, 400, "invalid_request"),
    "a text as field": ({"data": {"image": "photo.png"}}, 400, "invalid_request"),
    "JSON": ({"json": {"image": "photo.png"}}, 400, "invalid_request"),
    "a broken form": (
        {"content": b"--x\r\nnonsense", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        400,
        "invalid_request",
    ),
    "a form without a boundary": (
        {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
        400,
        "invalid_request",
    ),
    "top_k of 0": (upload(JPEG) | {"params": {"top_k": 0}}, 400, "invalid_request"),
    "top_k of 101": (upload(JPEG) | {"params": {"top_k": 101}}, 400, "invalid_request"),
    "top_k of five": (upload(JPEG) | {"params": {"top_k": "five"}}, 400, "invalid_request"),
}


@pytest.mark.parametrize(("request_", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_with_the_reason(client, request_, status, code):
    response = client.post("/identify", **request_)
    answer = response.json()
    assert (response.status_code, answer["error"]["code"]) == (status, code), response.text
    assert answer["error"]["details"]["remedy"]
    assert answer["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text


def test_each_problem_of_a_request_says_where_it_is(client):
    response = client.post("/identify", params={"top_k": 0})
    where = [problem["where"] for problem in response.json()["error"]["details"]["problems"]]
    assert sorted(where) == ["body.image", "query.top_k"]


@pytest.fixture
def small(engine):
    """A service that takes photos of 1,000 bytes at most."""
    limits = ImageLimits(bytes=1000)
    with (
        parts.served(create_app(engine, admission=parts.admission(), limits=limits)) as url,
        httpx.Client(base_url=url, timeout=parts.PATIENCE) as client,
    ):
        yield client


def test_a_body_that_states_too_many_bytes_is_refused(small):
    response = small.post("/identify", **upload(b"x" * 200_000))
    assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")


def test_a_body_that_states_nothing_is_refused_at_the_limit(small):
    def pieces():
        yield b'--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'
        yield from [b"x" * 10_000] * 20

    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = small.post("/identify", content=pieces(), headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")


async def read_all(_scope, receive, _send):
    while (await receive())["more_body"]:
        pass


def limited(receive, *, photo=1000, seconds=60.0, **state):
    """Read a body that comes from `receive`, within the limits."""
    scope = {"type": "http", "headers": [], "state": state}
    anyio.run(BodyLimit(read_all, photo=photo, seconds=seconds), scope, receive, None)


@pytest.mark.parametrize(("photos", "bytes_"), [(1, 80_000), (20, 120_000)])
def test_no_more_is_read_than_the_limit(photos, bytes_):
    """A form of 64 KiB, and so many photos of 2,000 bytes."""
    pieces = iter([{"type": "http.request", "body": b"x" * 40_000, "more_body": True}] * 100)

    async def receive():
        return next(pieces)

    with pytest.raises(RequestTooLarge, match=str(bytes_)):
        limited(receive, photo=2_000, photos=photos)
    assert len(list(pieces)) == 100 - bytes_ // 40_000


def test_a_body_that_never_comes_is_not_waited_for():
    async def receive():
        await anyio.sleep_forever()

    with pytest.raises(RequestTooSlow, match="after bytes: 0"):
        limited(receive, seconds=0.01)


def test_a_body_that_trickles_is_not_waited_for():
    """A byte at a time buys no time: 16 KiB buy a second."""

    async def receive():
        await anyio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(RequestTooSlow):
        limited(receive, seconds=0.05)


def test_what_comes_after_the_body_may_take_any_time():
    """The client's going away, that is."""
    left = iter([{"body": b"x", "more_body": False}, {"type": "http.disconnect", "more_body": False}])

    async def receive():
        return next(left)

    async def read_then_wait(_scope, receive, _send):
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    anyio.run(
        BodyLimit(read_then_wait, photo=1, seconds=60), {"type": "http", "headers": [], "state": {}}, receive, None
    )


def test_the_connection_serves_the_next_request(small):
    small.post("/identify", **upload(b"x" * 200_000))
    assert small.post("/identify", **upload(photo(RED))).status_code == 200
