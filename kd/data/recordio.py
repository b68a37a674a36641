"""InsightFace's `.rec` and `.idx` files without mxnet: where each image lies, whom it shows, and its pixels on demand.

A record is a magic word, a word of kind (upper 3 bits) and length, the payload, zeros up to a multiple of 4 bytes.
Where the payload holds the magic word at a multiple of 4, it is cut there and the magic left out: the parts are joined
by it again. The payload is a header (flag, label, two ids), as many labels more as the flag says, and an image file.
Records without an image are InsightFace's own index (record 0, and a record for each person); nothing is taken from
their counts, which are float32 and wrong past 2^24. All numbers are little endian.

Sources: dmlc-core, include/dmlc/recordio.h; mxnet, python/mxnet/recordio.py; insightface, arcface_torch/dataset.py;
for headers with a float64 label, TFace, recognition/torchkit/data.
"""

import mmap
import struct
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faces.align import Image
from faces.console import progress
from faces.errors import ImageRefused
from faces.headers import read_header
from kd.data.crops import read_crop
from kd.errors import DataUnusable

Integers = NDArray[np.int64]

_FRAME: Final = struct.Struct("<II")
_MAGIC: Final = 0xCED7230A
_LENGTH: Final = (1 << 29) - 1
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
DIGITS: Final = 8
"""A label has no more of them; float32 is exact up to 2^24."""
_SAMPLE: Final = 256  # records by which the kind of header is told
_CHUNK: Final = 4096


@dataclass(frozen=True, slots=True)
class _Header:
    """How the flag and the label, or the labels behind it, are written."""

    fixed: struct.Struct
    labels: np.dtype[np.floating]


_HEADERS: Final[Mapping[str, _Header]] = MappingProxyType(
    {
        "IfQQ": _Header(struct.Struct("<IfQQ"), np.dtype("<f4")),
        "IdQQ": _Header(struct.Struct("<I4xdQQ"), np.dtype("<f8")),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class RecordImages:
    """What a record file holds, in the order of its keys: where, and whom."""

    header: str
    """A name in mxnet's notation: IfQQ, or IdQQ for labels of 64 bits."""
    offsets: Integers
    """(n,) bytes, of the readable images."""
    labels: Integers
    """(n,) as the file has them: 0 and up."""
    skipped: tuple[tuple[str, str], ...]
    """(path and key, reason) of every image that is damaged, or no crop."""


class RecordCrops:
    """Canonical crops of a record file, decoded when they are asked for. It stays open as long as this is."""

    def __init__(self, path: Path, header: str, offsets: Integers) -> None:
        """header, offsets: as `scan_records` found them."""
        self._data, self._header, self._offsets = _mapped(path), _HEADERS[header], offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, photo: int, /) -> Image:
        """Raises ImageRefused when the file has changed since it was scanned."""
        if not 0 <= photo < len(self):
            raise IndexError(photo)
        try:
            _, file = _opened(_payload(self._data, int(self._offsets[photo]), len(self._data)), self._header)
        except _DamagedError as error:
            raise ImageRefused(str(error), photo, "The .rec file has changed: start again with a new --out.") from None
        return read_crop(file)


def scan_records(path: Path) -> RecordImages:
    """Look at every image of a `.rec` file once. Its `.idx` file, which says what records there are, lies beside it.

    A damaged image is skipped and listed.
    Raises DataUnusable: no index, an index that is none, a file that ends before its last record does, no image left.
    """
    data = _mapped(path)
    keys, offsets = _read_index(index_of(path))
    ends = _ends(offsets, len(data))
    _require_whole(path, data, offsets)
    header = _header_of(data, offsets[:_SAMPLE], ends[:_SAMPLE])
    labels = np.full(len(keys), -1, dtype=np.int64)
    skipped = []
    for row, found in enumerate(_looks(data, offsets, ends, _HEADERS[header])):
        if isinstance(found, str):
            skipped.append((f"{path}#{keys[row]}", found))
        elif found is not None:
            labels[row] = found
    usable = labels >= 0
    if not usable.any():
        first = f"record {skipped[0][0].rpartition('#')[2]}: {skipped[0][1]}" if skipped else "no record has an image"
        raise DataUnusable(f"no usable face ({first})", str(path), "Check that .rec and .idx belong together.")
    return RecordImages(header, offsets[usable], labels[usable], tuple(skipped))


def index_of(path: Path) -> Path:
    """The index of a `.rec` file."""
    return path.with_suffix(".idx")


class _DamagedError(ValueError):
    """What makes one record unusable; said in `skipped`."""


class _RunsPastError(_DamagedError):
    """A record that is longer than the room it has."""


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise DataUnusable(f"cannot be read ({error.strerror})", str(path), "Give the path of a .rec file.") from None
    except ValueError:  # mmap's word for an empty file
        raise DataUnusable("an empty file", str(path), "Copy the .rec file again.") from None


def _read_index(path: Path) -> tuple[Integers, Integers]:
    """(n,) keys, ascending, and (n,) byte offsets: a line of the file is key, tab, offset."""
    try:
        with path.open(encoding="ascii") as file, warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy warns of an empty file, and reads 1.5 as a whole number
            table = np.loadtxt(file, dtype=np.int64, comments=None, ndmin=2)
    except FileNotFoundError:
        raise DataUnusable("no index", str(path), "Put the .idx file there that belongs to the .rec file.") from None
    except Warning:
        raise _index_refused("a line must hold two whole numbers, key and offset", path) from None
    except (OSError, ValueError) as error:
        raise _index_refused(str(error).partition(";")[0].rstrip("."), path) from None
    if table.shape[1] != 2:
        raise _index_refused(f"{table.shape[1]} columns instead of 2", path)
    keys, offsets = table[np.argsort(table[:, 0], kind="stable")].T.copy()
    for name, values in (("key", keys), ("offset", offsets)):
        if len(np.unique(values)) != len(values):
            raise _index_refused(f"it has the same {name} twice", path)
    if offsets.min() < 0 or (offsets % 4).any():
        raise _index_refused("an offset that is negative, or no multiple of 4", path)
    return keys, offsets


def _index_refused(reason: str, path: Path) -> DataUnusable:
    return DataUnusable(f"not an index of records ({reason})", str(path), "Copy the .idx file again, or make it anew.")


def _ends(offsets: Integers, size: int) -> Integers:
    """(n,): where the next record begins, which is where each must have ended."""
    order = np.argsort(offsets)
    ends = np.empty_like(offsets)
    ends[order] = np.append(offsets[order][1:], size)
    return ends


def _require_whole(path: Path, data: mmap.mmap, offsets: Integers) -> None:
    """Raises DataUnusable when the file ends before its last record does."""
    last = int(offsets.max())
    try:
        _payload(data, last, len(data))
    except _RunsPastError:
        raise DataUnusable(
            f"cut short: the file ends at byte {len(data)}, inside or before the record at byte {last}",
            str(path),
            "Copy the .rec file again.",
        ) from None
    except _DamagedError:
        pass  # whole, but not a record: listed as the others are


def _payload(data: mmap.mmap, start: int, end: int) -> bytes:
    """The payload of the record at byte `start`, which must not reach past byte `end`; its parts joined."""
    parts, at, expected = [], start, (_WHOLE, _FIRST)
    while True:
        if at + _FRAME.size > end:
            raise _RunsPastError(f"the record at byte {start} has no end before byte {end}")
        magic, word = _FRAME.unpack_from(data, at)
        kind, length = word >> 29, word & _LENGTH
        if magic != _MAGIC or kind not in expected:
            raise _DamagedError(f"no record, or none that begins here, at byte {at}")
        at += _FRAME.size
        if at + length > end:
            raise _RunsPastError(f"the record at byte {start} has no end before byte {end}")
        parts.append(data[at : at + length])
        if kind in (_WHOLE, _LAST):
            return _MAGIC.to_bytes(4, "little").join(parts)
        at += length + -length % 4
        expected = (_MIDDLE, _LAST)


def _opened(payload: bytes, header: _Header) -> tuple[list[float], bytes]:
    """The labels of a record (the first says whom it shows), and its image file: empty where it has none."""
    if len(payload) < header.fixed.size:
        raise _DamagedError(f"{len(payload)} bytes are too few for a header")
    flag, label, _, _ = header.fixed.unpack_from(payload)
    image = header.fixed.size + flag * header.labels.itemsize
    if image > len(payload):
        raise _DamagedError(f"{len(payload)} bytes are too few for {flag} labels")
    labels = np.frombuffer(payload, header.labels, flag, header.fixed.size).tolist()
    return labels or [label], payload[image:]


def _header_of(data: mmap.mmap, offsets: Integers, ends: Integers) -> str:
    """The kind of header behind which images begin most often."""

    def images(header: _Header) -> int:
        return sum(_begins_image(data, int(at), int(end), header) for at, end in zip(offsets, ends, strict=True))

    return max(_HEADERS, key=lambda name: images(_HEADERS[name]))


def _begins_image(data: mmap.mmap, start: int, end: int, header: _Header) -> bool:
    try:
        read_header(_opened(_payload(data, start, end), header)[1])
    except (_DamagedError, ImageRefused):
        return False
    return True


def _looks(data: mmap.mmap, offsets: Integers, ends: Integers, header: _Header) -> Iterator[int | str | None]:
    """Of each record: whom it shows, why it is unusable, or None where it never was an image."""

    def look(start: int, end: int) -> int | str | None:
        try:
            labels, file = _opened(_payload(data, start, end), header)
            if not file and len(labels) > 1:
                return None
            read_crop(file)
            return _person(labels[0])
        except _DamagedError as error:
            return str(error)
        except ImageRefused as error:
            return error.what

    with ThreadPoolExecutor() as pool, progress("reading records", total=len(offsets)) as advance:
        for at in range(0, len(offsets), _CHUNK):
            chunk = slice(at, at + _CHUNK)
            yield from pool.map(look, offsets[chunk].tolist(), ends[chunk].tolist())
            advance(len(offsets[chunk]))


def _person(label: float) -> int:
    if not 0 <= label < 10**DIGITS or label != int(label):
        raise _DamagedError(f"{label} is nobody's label")
    return int(label)
