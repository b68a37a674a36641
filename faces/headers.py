"""What a JPEG, PNG or WebP file says of itself before a pixel is decoded, and the part of it that makes the pixels.

Size limits are checked on what stands here, so that a header of 50,000 × 50,000 costs nothing. Only the segments and
chunks that make pixels are handed on: no profile, comment, thumbnail or animation reaches a decoder, which also keeps
the decoders' warnings about damaged metadata out of a service's log.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from faces.errors import ImageTypeRefused, ImageUnreadable

Kind = Literal["JPEG", "PNG", "WebP"]


@dataclass(frozen=True, slots=True)
class Header:
    """The file's own account of itself; `pixels` is the same file without what a decoder does not need."""

    kind: Kind
    width: int
    height: int
    orientation: int
    """1 to 8, as EXIF counts: how the stored picture must be turned to stand upright."""
    pixels: bytes


def read_header(data: bytes) -> Header:
    """Raises ImageTypeRefused when the first bytes are of no allowed type, ImageUnreadable for a damaged header."""
    for magic, reader in _READERS.items():
        if data.startswith(magic):
            try:
                return reader(data)
            except (struct.error, IndexError):
                raise unreadable("the header ends early", len(data)) from None
    if not data:
        raise unreadable("the file is empty", 0)
    raise ImageTypeRefused("not a JPEG, PNG or WebP image", _type_name(data), "Convert it to JPEG, PNG or WebP.")


def unreadable(what: str, value: object) -> ImageUnreadable:
    return ImageUnreadable(what, value, "The file is damaged: send the original again.")


_NO_TURN: Final = 1
_EXIF_PREFIX: Final = b"Exif\0\0"
_ORIENTATION_TAG: Final = 0x0112
_SHORT: Final = 3

_JPEG_SIZES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15, without DHT, JPG and DAC
_JPEG_SCAN, _JPEG_EXIF, _JPEG_COMMENT = 0xDA, 0xE1, 0xFE
_JPEG_DROPPED: Final = frozenset(range(0xE1, 0xF0)) - {0xEE} | {_JPEG_COMMENT}  # APP0 and APP14 say how colour is coded
_PNG_KEPT: Final = frozenset([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"])


def _jpeg(data: bytes) -> Header:
    """Source: ITU-T T.81, B.1 and B.2."""
    size, orientation, kept, at = (0, 0), _NO_TURN, [data[:2]], 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:
            at += 1  # fill bytes
        if data[at] != 0xFF:
            raise unreadable("no JPEG marker at byte", at)
        marker = data[at + 1]
        if marker == _JPEG_SCAN:
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if marker in _JPEG_SIZES:
            size = struct.unpack_from(">xHH", body)
        elif marker == _JPEG_EXIF and body.startswith(_EXIF_PREFIX):
            orientation = _orientation(body.removeprefix(_EXIF_PREFIX))
        if marker not in _JPEG_DROPPED:
            kept.append(data[at : at + 2 + length])
        at += 2 + length
    height, width = size
    return Header("JPEG", width, height, orientation, b"".join([*kept, data[at:]]))


def _png(data: bytes) -> Header:
    """Source: W3C, PNG Specification (Third Edition), 5 and 11."""
    signature = 8
    width, height = struct.unpack_from(">II", data, signature + 8)
    orientation, kept = _NO_TURN, [data[:signature]]
    for name, at, length in _png_chunks(data, signature):
        if name == b"eXIf":
            orientation = _orientation(data[at + 8 : at + 8 + length])
        if name in _PNG_KEPT:
            kept.append(data[at : at + 12 + length])
    return Header("PNG", width, height, orientation, b"".join(kept))


def _png_chunks(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, position and length of every chunk to the last."""
    name = b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            raise unreadable("the file ends inside a chunk, after bytes", len(data))
        yield name, at, length
        at += 12 + length


def _webp(data: bytes) -> Header:
    """Source: RFC 9649, 2.3 to 2.7."""
    length = struct.unpack_from("<4xI", data)[0] + 8
    if data[8:12] != b"WEBP":
        raise ImageTypeRefused("not a JPEG, PNG or WebP image", "RIFF", "Convert it to JPEG, PNG or WebP.")
    if length > len(data):
        raise unreadable(f"the file says it has {length} bytes, but has", len(data))
    sizes = {b"VP8 ": _webp_lossy, b"VP8L": _webp_lossless, b"VP8X": _webp_extended}
    if data[12:16] not in sizes:
        raise unreadable("a WebP file without a picture, of bytes", len(data))
    width, height = sizes[data[12:16]](data)
    return Header("WebP", width, height, _webp_orientation(data[:length]), data)


def _webp_lossy(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _webp_lossless(data: bytes) -> tuple[int, int]:
    (bits,) = struct.unpack_from("<I", data, 21)
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _webp_extended(data: bytes) -> tuple[int, int]:
    width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    return width, height


def _webp_orientation(data: bytes) -> int:
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        if name == b"EXIF":
            return _orientation(data[at + 8 : at + 8 + length].removeprefix(_EXIF_PREFIX))
        at += 8 + length + length % 2
    return _NO_TURN


def _orientation(tiff: bytes) -> int:
    """The orientation in an EXIF block, 1 when there is none: damaged metadata is no reason to refuse a photo.

    Source: TIFF 6.0, section 2; CIPA DC-008 (EXIF), 4.6.4.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return _NO_TURN
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if tag == _ORIENTATION_TAG and kind == _SHORT and 1 <= value <= 8:
                return int(value)
    except struct.error:
        pass
    return _NO_TURN


def _type_name(data: bytes) -> str:
    """What people send by mistake, by name; else the first bytes."""
    for at, magic, name in _REFUSED:
        if data[at:].startswith(magic):
            return name
    return data[:4].hex()


_READERS: Final[Mapping[bytes, Callable[[bytes], Header]]] = MappingProxyType(
    {b"\xff\xd8\xff": _jpeg, b"\x89PNG\r\n\x1a\n": _png, b"RIFF": _webp}
)
_REFUSED: Final = (
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"%PDF", "PDF"),
    (0, b"<", "text"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphe", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftyp", "video"),
)
