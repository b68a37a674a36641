"""A writer of InsightFace's record files, from dmlc-core's description alone: what the reader's tests read."""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

MAGIC = struct.pack("<I", 0xCED7230A)


def encoded(seed: int, side: int = 112, kind: str = "PNG", **options: object) -> bytes:
    """An image file of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def record(*labels: float, image: bytes = b"", scalar: bool = True, wide: bool = False) -> bytes:
    """The payload of a record: header, labels, image. scalar: a single label stands in the header itself."""
    one = len(labels) == 1 and scalar
    flag, label = (0, labels[0]) if one else (len(labels), 0.0)
    fixed = struct.pack("<I4xdQQ", flag, label, 7, 0) if wide else struct.pack("<IfQQ", flag, label, 7, 0)
    rest = b"" if one else np.array(labels, dtype="<f8" if wide else "<f4").tobytes()
    return fixed + rest + image


def framed(payload: bytes) -> bytes:
    """The payload cut at each aligned magic word, every part in its frame."""
    cuts = [at for at in range(0, len(payload) - 3, 4) if payload[at : at + 4] == MAGIC]
    starts, stops = [0, *(at + 4 for at in cuts)], [*cuts, len(payload)]
    written = b""
    for number, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        kind = 0 if not cuts else 1 if number == 0 else 3 if number == len(cuts) else 2
        part = payload[start:stop]
        written += MAGIC + struct.pack("<I", kind << 29 | len(part)) + part + bytes(-len(part) % 4)
    return written


def write_records(path: Path, payloads: dict[int, bytes]) -> Path:
    """`path` and the index beside it. payloads: by key, in the order in which they are written."""
    data, lines = b"", ""
    for key, payload in payloads.items():
        lines += f"{key}\t{len(data)}\n"
        data += framed(payload)
    path.write_bytes(data)
    path.with_suffix(".idx").write_text(lines)
    return path
