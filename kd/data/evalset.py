"""InsightFace's `.bin` evaluation sets (LFW, CFP-FP, AgeDB-30, …): pairs of crops, and whether they show one person.

The file is a pickle of (images, same): image files 2i and 2i + 1 are pair i, written by Python 2 as a rule. A pickle
may name any function to call; this reader knows a few names, behind each of which is an inert stand-in. Before a byte
of it is acted upon, every opcode is checked: only those that make lists, tuples, bytes, numbers and numpy's arrays are
let through, no length may reach past the end of the file, and no place in memory past the opcodes seen.
Sources: insightface, recognition/arcface_torch/eval/verification.py; CPython, Lib/pickletools.py.
"""

import io
import pickle
import pickletools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faces.console import progress
from faces.errors import ImageRefused
from kd.data.crops import Crops, EncodedCrops, read_crop
from kd.errors import ProtocolInvalid

_LARGEST: Final = 2**31  # bytes; the published sets have a twentieth of it
_LONGEST: Final = 200  # characters of a reason: a file can name what it likes
_REMEDY: Final = "Give a .bin file of InsightFace's: pairs of encoded crops, and whether each is of one person."
_OPCODES: Final = frozenset(
    """PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
    UNICODE BINUNICODE SHORT_BINUNICODE EMPTY_LIST LIST APPEND APPENDS
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
    GLOBAL STACK_GLOBAL REDUCE BUILD""".split()  # noqa: SIM905 - a list of them is a screen long
)


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationSet:
    """Pairs of crops."""

    crops: Crops
    """Each image once, however many pairs it is in; decoded when it is asked for."""
    pairs: NDArray[np.int64]
    """(n, 2), numbers of crops."""
    same: NDArray[np.bool_]
    """(n,): both show one person."""
    skipped: tuple[tuple[int, str], ...]
    """(place in the file, reason) of every image that cannot be read; its pairs are left out."""


def read_evaluation_set(path: Path) -> EvaluationSet:
    """The pairs of a `.bin` file whose two images can be read, in its order.

    Raises ProtocolInvalid when it is no such file, or no pair is left.
    """
    images, same = _contents(path)
    number = {image: at for at, image in enumerate(dict.fromkeys(images))}
    places = np.array([number[image] for image in images], dtype=np.int64)
    reasons = _reasons(list(number))
    readable = np.array([reason is None for reason in reasons], dtype=np.bool_)
    pairs = places.reshape(-1, 2)
    whole = readable[pairs].all(axis=1)
    skipped = tuple((place, reason) for place, at in enumerate(places) if (reason := reasons[at]) is not None)
    if not whole.any():
        first = f"image {skipped[0][0]}: {skipped[0][1]}" if skipped else "it is empty"
        raise ProtocolInvalid(f"no pair of readable images ({first})", str(path), _REMEDY)
    renumbered = np.cumsum(readable) - 1
    files = [image for image, reason in zip(number, reasons, strict=True) if reason is None]
    return EvaluationSet(EncodedCrops(files), renumbered[pairs[whole]], same[whole], skipped)


def _contents(path: Path) -> tuple[list[bytes], NDArray[np.bool_]]:
    """(2n,) image files and (n,) whether a pair is of one person."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ProtocolInvalid(f"more than {_LARGEST} bytes", str(path), _REMEDY)
        data = path.read_bytes()
    except OSError as error:
        raise ProtocolInvalid(f"cannot be read ({error.strerror})", str(path), _REMEDY) from None
    try:
        _require_harmless(data)
        images, same = _Restricted(io.BytesIO(data), encoding="bytes").load()
        files = _files(images)
        truths = _truths(same, len(files) // 2)
        if len(files) != 2 * len(truths):
            raise _RefusedError(f"{len(files)} images for {len(truths)} pairs")
    except Exception as error:  # noqa: BLE001 - a damaged pickle raises whatever its opcodes stumble over
        reason = str(error)[:_LONGEST] or type(error).__name__
        raise ProtocolInvalid(f"not an evaluation set ({reason})", str(path), _REMEDY) from None
    return files, np.array(truths, dtype=np.bool_)


def _reasons(images: Sequence[bytes]) -> list[str | None]:
    """Why each image cannot be read; None where it can."""

    def reason(image: bytes) -> str | None:
        try:
            read_crop(image)
        except ImageRefused as error:
            return error.what
        return None

    found = []
    with ThreadPoolExecutor() as pool, progress("reading pairs", total=len(images)) as advance:
        for one in pool.map(reason, images):
            found.append(one)
            advance(1)
    return found


class _RefusedError(ValueError):
    """What this reader does not accept; `_contents` turns it into ProtocolInvalid."""


def _require_harmless(data: bytes) -> None:
    """Look at every opcode without acting on it; `genops` itself refuses a length that reaches past the end."""
    for seen, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name not in _OPCODES:
            raise _RefusedError(f"it holds the opcode {opcode.name}")
        if opcode.name in ("PUT", "LONG_BINPUT") and not 0 <= int(argument or 0) <= seen:
            raise _RefusedError(f"it asks for place {argument} in memory")


class _Array:
    """Inert stand-in for a numpy array: its kind of numbers, and their bytes. Also for the class itself."""

    kind: object = None
    data: object = b""

    def __setstate__(self, state: tuple[object, ...]) -> None:
        _version, _shape, self.kind, _fortran, self.data = state

    def numbers(self, count: int) -> list[int]:
        """All of them, where there are so many."""
        if not isinstance(self.kind, _Kind) or not isinstance(self.data, bytes | bytearray):
            raise _RefusedError("an array that holds no numbers")
        if len(self.data) != count * self.kind.dtype.itemsize:
            raise _RefusedError(f"an array of {len(self.data)} bytes, where {count} numbers are expected")
        values: list[int] = np.frombuffer(self.data, self.kind.dtype).tolist()
        return values


class _Kind:
    """Inert stand-in for a numpy dtype."""

    def __init__(self, name: object, *_flags: object) -> None:
        text = name.decode("ascii") if isinstance(name, bytes) else name
        if not isinstance(text, str) or text not in _KINDS:
            raise _RefusedError("an array of another kind than bytes, whole numbers and truths")
        self.dtype = np.dtype(_KINDS[text])

    def __setstate__(self, state: object) -> None:
        """Byte order and field names: little endian, and none."""


_KINDS: Final[Mapping[str, str]] = MappingProxyType({"b1": "u1", "u1": "u1", "i4": "<i4", "i8": "<i8"})


def _reconstruct(*_arguments: object) -> _Array:
    return _Array()


def _scalar(kind: object, data: object) -> _Array:
    """A single number is an array of one here."""
    return _from_buffer(data, kind)


def _from_buffer(data: object, kind: object, *_shape_and_order: object) -> _Array:
    array = _Array()
    array.kind, array.data = kind, data
    return array


_NUMPY: Final[Mapping[str, object]] = MappingProxyType(
    {"_reconstruct": _reconstruct, "scalar": _scalar, "_frombuffer": _from_buffer, "ndarray": _Array, "dtype": _Kind}
)
_MODULES: Final = frozenset(
    ["numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"]
)


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module not in _MODULES or name not in _NUMPY:
            raise _RefusedError(f"it asks for {module}.{name}")
        return _NUMPY[name]


def _files(images: object) -> list[bytes]:
    """The bytes of each image; what the file holds once and names often is copied once."""
    held = [image.data if isinstance(image, _Array) else image for image in _listed(images)]
    copies: dict[int, bytes] = {}
    for data in held:
        if not isinstance(data, bytes | bytearray):
            raise _RefusedError(f"{type(data).__name__} where an image is expected")
        if id(data) not in copies:
            copies[id(data)] = bytes(data)
    return [copies[id(data)] for data in held]


def _truths(same: object, count: int) -> list[bool]:
    """Whether each pair is of one person; `count` of them where numpy wrote them."""
    values = same.numbers(count) if isinstance(same, _Array) else _listed(same)
    ones = [value.numbers(1)[0] if isinstance(value, _Array) else value for value in values]
    for one in ones:
        if not isinstance(one, int) or one not in (0, 1):
            raise _RefusedError(f"{type(one).__name__} where true or false is expected")
    return [bool(one) for one in ones]


def _listed(values: object) -> Sequence[object]:
    if not isinstance(values, list | tuple):
        raise _RefusedError(f"{type(values).__name__} where a list is expected")
    return values
