"""Photos and requests that were damaged, each determined by a number."""

import io
import json
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image as Pillow

from tests.app.parts import BLUE, GREEN, RED, photo

_TOKENS = (b"\0", b"\xff", b"\r\n", b"--x", b"%00", b"%", b"../", b"{", b'"', b"\xff\xd8", b"IHDR", b"RIFF", b"9" * 40)
_ADDRESSES = (
    "/identify", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/v1/models", "/v1/models/activate",
    "/v1/models/rollback", "/v1/subjects", "/v1/subjects/ada", "/api/v1/recognition/recognize", "/", "//", "/identify/",
)  # fmt: skip
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW")
_HEADERS = (
    "content-type", "accept", "origin", "x-request-id", "x-api-key", "authorization", "idempotency-key", "range",
    "x-timeout", "x-forwarded-for", "if-none-match", "expect",
)  # fmt: skip


@dataclass(frozen=True)
class Sent:
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, bytes] = field(default_factory=dict)


def photos() -> list[bytes]:
    """Small and whole, of every kind that is read and of every way that kind is commonly written."""
    pixels = np.array(Pillow.open(io.BytesIO(photo(RED, GREEN, BLUE, side=24))))
    image, found = Pillow.fromarray(pixels), []
    turned = Pillow.Exif()
    turned[0x0112] = 6  # orientation
    for mode, kind, options in (
        ("RGB", "JPEG", {}),
        ("RGB", "JPEG", {"progressive": True, "exif": turned}),
        ("RGB", "JPEG", {"subsampling": 0, "restart_marker_blocks": 2}),
        ("L", "JPEG", {}),
        ("CMYK", "JPEG", {}),
        ("RGB", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("P", "PNG", {"transparency": 0}),
        ("1", "PNG", {}),
        ("I;16", "PNG", {}),
        ("RGB", "WEBP", {}),
        ("RGBA", "WEBP", {"lossless": True, "exif": turned}),
    ):
        file = io.BytesIO()
        between = image.convert("L") if mode == "I;16" else image
        between.convert(mode).save(file, kind, **options)
        found.append(file.getvalue())
    return found + [cv2.imencode(suffix, pixels)[1].tobytes() for suffix in (".jpg", ".png", ".webp")]


class Mutator:
    """The same damage for the same seed."""

    def __init__(self, whole: list[bytes]) -> None:
        self._whole = whole

    def photo(self, seed: int) -> bytes:
        draw = np.random.default_rng(seed)
        data = self._whole[draw.integers(len(self._whole))]
        for _ in range(draw.geometric(0.7)):
            data = _DAMAGES[draw.integers(len(_DAMAGES))](data, draw, self._whole)
        return data

    def request(self, seed: int) -> Sent:
        """A form with a damaged photo, a damaged form, or anything at all."""
        draw = np.random.default_rng(seed)
        kind = draw.integers(10)
        form = {"content-type": b"multipart/form-data; boundary=x"}
        if kind < 6:
            return Sent("POST", "/identify", _form(self.photo(seed)), form)
        if kind < 8:
            whole = _form(self._whole[draw.integers(len(self._whole))])
            for _ in range(draw.integers(1, 4)):
                whole = _DAMAGES[draw.integers(len(_DAMAGES))](whole, draw, self._whole)
            return Sent("POST", f"/identify?top_k={draw.integers(-2, 120)}", whole, form)
        return _anything(draw)


def _anything(draw: np.random.Generator) -> Sent:
    path = _ADDRESSES[draw.integers(len(_ADDRESSES))]
    if draw.random() < 0.5:
        path += "?" * (draw.random() < 0.5) + "".join(f"%{byte:02x}" for byte in draw.bytes(draw.integers(1, 12)))
    names = draw.choice(_HEADERS, size=draw.integers(0, 4), replace=False)
    headers = {str(name): bytes(draw.integers(33, 127, size=draw.integers(1, 40)).astype(np.uint8)) for name in names}
    body = draw.bytes(draw.integers(0, 200))
    if draw.random() < 0.5:
        body = json.dumps({"model": body.decode("latin-1"), "n": [None, 1e308, {}]}).encode()
        headers["content-type"] = b"application/json"
    return Sent(_METHODS[draw.integers(len(_METHODS))], path, body, headers)


def _form(data: bytes) -> bytes:
    head = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'
    return head + data + b"\r\n--x--\r\n"


def _span(data: bytes, draw: np.random.Generator, most: int = 64) -> tuple[int, int]:
    """As often near the start, where headers are, as anywhere."""
    start = int(len(data) * draw.random() ** draw.integers(1, 4))
    return start, start + int(draw.integers(1, most))


def _flip(data, draw, _):
    changed = bytearray(data)
    for _ in range(draw.integers(1, 4) if changed else 0):
        changed[int(len(changed) * draw.random() ** draw.integers(1, 4))] ^= 1 << draw.integers(8)
    return bytes(changed)


def _scramble(data, draw, _):
    start, end = _span(data, draw)
    return data[:start] + draw.bytes(end - start) + data[end:]


def _cut(data, draw, _):
    start, end = _span(data, draw)
    return data[:start] + data[end:]


def _truncate(data, draw, _):
    return data[: int(len(data) * draw.random())]


def _repeat(data, draw, _):
    start, end = _span(data, draw)
    return data[:end] + data[start:end] * int(draw.integers(1, 20)) + data[end:]


def _extreme(data, draw, _):
    start, end = _span(data, draw, 9)
    return data[:start] + (b"\xff", b"\0", b"\x7f", b"\x80")[draw.integers(4)] * (end - start) + data[end:]


def _insert(data, draw, _):
    start, _end = _span(data, draw)
    return data[:start] + _TOKENS[draw.integers(len(_TOKENS))] + data[start:]


def _splice(data, draw, whole):
    other = whole[draw.integers(len(whole))]
    return data[: _span(data, draw)[0]] + other[_span(other, draw)[0] :]


_DAMAGES = (_flip, _flip, _flip, _scramble, _cut, _truncate, _repeat, _extreme, _insert, _splice)
