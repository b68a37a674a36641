"""The file of a Segment: a fixed head, a CRC-32 of every piece, then the arrays as they lie in memory.

    head      magic, format, rows, dim, scale, residual, reach; then its CRC
    table     the CRC of each piece, then the CRC of the table
    arrays    ids, owners, centre, halves, codes slice by slice; each cut into pieces of 8 MiB

Everything little-endian. A CRC-32 finds every change of up to 32 bits in a row and misses others once in four thousand
million; a cache that is found damaged is made again from the store. Pieces are read and checked by all cores at once,
straight into the arrays that are searched.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faces.files import write_parts
from index.errors import SegmentDamaged
from index.segment import Coding, Segment, empty_slices, slice_bounds

_MAGIC: Final = b"HEIRSEG\x00"
_FORMAT: Final = 2
_HEAD: Final = struct.Struct("<8sIQIddd")
_CRC: Final = struct.Struct("<I")
_PIECE: Final = 8 << 20  # bytes


def write_segment(segment: Segment, path: Path) -> None:
    """The file lands whole. Raises OSError."""
    coding = segment.coding
    head = _HEAD.pack(_MAGIC, _FORMAT, len(segment), segment.dim, coding.scale, coding.residual, coding.reach)
    pieces = [piece for array in _arrays(segment) for piece in _pieces(array)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        table = np.array(list(pool.map(zlib.crc32, pieces)), dtype="<u4").tobytes()
    write_parts(path, [_sealed(head), _sealed(table), *pieces])


def read_segment(path: Path) -> Segment:
    """Raises SegmentDamaged when the file is not, to the last bit, what `write_segment` wrote, or cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            return _read(file.fileno(), path)
    except OSError as error:
        raise _damaged(f"cannot be read ({error.strerror})", path) from error


def _read(file: int, path: Path) -> Segment:
    sealed_head = _HEAD.size + _CRC.size
    magic, version, count, dim, *lengths = _HEAD.unpack(_unsealed(os.pread(file, sealed_head, 0), path))
    if magic != _MAGIC or version != _FORMAT:
        raise _damaged("is of another format", path)
    length = os.fstat(file).st_size
    sizes = _array_sizes(count, dim) if count * dim < length else []  # a head may say anything, and its CRC fit
    sealed_table = _CRC.size * (sum(-(-size // _PIECE) for size in sizes) + 1)
    if length != sealed_head + sealed_table + sum(sizes):
        raise _damaged("is not as long as its head says", path)
    table = np.frombuffer(_unsealed(os.pread(file, sealed_table, sealed_head), path), dtype="<u4")
    segment = Segment(
        np.empty(count, dtype=np.int64),
        np.empty(count, dtype=np.int64),
        np.empty((count, dim), dtype=np.float16),
        Coding(np.empty(dim, dtype=np.float32), *lengths),
        empty_slices(count, dim),
    )
    pieces = [piece for array in _arrays(segment) for piece in _pieces(array)]
    offsets = np.cumsum([sealed_head + sealed_table, *map(len, pieces)])[:-1]

    def read(piece: memoryview, offset: int, crc: int) -> bool:
        return os.preadv(file, [piece], offset) == len(piece) and zlib.crc32(piece) == crc

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        if not all(pool.map(read, pieces, offsets.tolist(), table.tolist())):
            raise _damaged("does not match its checksums", path)
    return segment


def _array_sizes(count: int, dim: int) -> list[int]:
    """Bytes of each of `_arrays`."""
    bounds = slice_bounds(count, dim)
    codes = [(stop - start) * dim for start, stop in pairwise(bounds)]
    return [8 * count, 8 * count, 4 * dim, 2 * count * dim, *codes]


def _arrays(segment: Segment) -> Iterator[NDArray[Any]]:
    yield from (segment.ids, segment.owners, segment.coding.centre, segment.halves)
    yield from (piece.codes for piece in segment.slices)


def _pieces(array: NDArray[Any]) -> Iterator[memoryview]:
    """Views of its bytes."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return (flat[start : start + _PIECE] for start in range(0, len(flat), _PIECE))


def _sealed(data: bytes) -> bytes:
    return data + _CRC.pack(zlib.crc32(data))


def _unsealed(sealed: bytes, path: Path) -> bytes:
    data, crc = sealed[: -_CRC.size], sealed[-_CRC.size :]
    if len(crc) < _CRC.size or zlib.crc32(data) != _CRC.unpack(crc)[0]:
        raise _damaged("does not match its checksums", path)
    return data


def _damaged(what: str, path: Path) -> SegmentDamaged:
    return SegmentDamaged(f"a file of the cache {what}", str(path), "It is made again from the store.")
