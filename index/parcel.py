"""The file that a collection travels in: a ZIP that NumPy reads as an NPZ, signed with Ed25519.

| member | holds |
|---|---|
| `manifest.json` | format, Space, counts, and size and SHA-256 of every other member |
| `signature` | Ed25519 over the manifest, 64 bytes |
| `subjects.jsonl` | a Subject a line |
| `templates.jsonl`, `embeddings.npy` | a Template a line; (n, dim) fp16, a row a Template |
| `negatives.jsonl`, `negatives.npy` | the same of the negative examples |

Nothing is compressed, so that nothing can swell; nothing is unpickled; nothing is looked at before the signature holds.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from numpy.typing import NDArray

from index.errors import ExportInvalid, SignatureRefused, SigningKeyInvalid, SigningKeyMissing
from index.sealing import parse_key

SIGNING_KEY: Final = "HEIRLOOM_SIGNING_KEY"
FORMAT: Final = "heirloom-collection"
VERSION: Final = 1

Halves = NDArray[np.float16]
Line = Mapping[str, Any]

_HALF: Final = np.dtype("<f2")
_MANIFEST: Final = "manifest.json"
_SIGNATURE: Final = "signature"
_TABLES: Final = ("subjects.jsonl", "templates.jsonl", "negatives.jsonl")
_ARRAYS: Final = ("embeddings.npy", "negatives.npy")
_CONTEXT: Final = b"heirloom collection\n"  # a signature made for this is good for nothing else
_LARGEST_MANIFEST: Final = 1 << 20  # bytes
_LONGEST_LINE: Final = 1 << 18
_CHUNK: Final = 1 << 20
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # of every member: the same collection makes the same file


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """What came in a file whose signature holds."""

    manifest: Mapping[str, Any]
    subjects: list[dict[str, Any]]
    templates: list[dict[str, Any]]
    embeddings: Halves
    """(templates, dim)"""
    negatives: list[dict[str, Any]]
    negative_embeddings: Halves
    """(negatives, dim)"""


@dataclass(frozen=True, slots=True, eq=False)
class Signer:
    """Whoever holds the private key can sign; whoever knows `public` can tell."""

    key: Ed25519PrivateKey

    @property
    def public(self) -> str:
        """64 hex digits, for all to know."""
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def sign(self, manifest: bytes) -> bytes:
        return self.key.sign(_CONTEXT + manifest)


def signer_of(environment: Mapping[str, str]) -> Signer:
    """By the key in HEIRLOOM_SIGNING_KEY. Raises SigningKeyMissing, SigningKeyInvalid."""
    text = environment.get(SIGNING_KEY)
    if not text:
        raise SigningKeyMissing("no key in", SIGNING_KEY, "Make one, and keep it: openssl rand -base64 32")
    return Signer(Ed25519PrivateKey.from_private_bytes(parse_key(text, SIGNING_KEY, SigningKeyInvalid)))


class Packing:
    """A parcel being written: its members one after the other, then `finish`. Within a `with`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
        self._members: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()

    def add_lines(self, name: str, lines: Iterable[Line]) -> int:
        """How many there were."""
        count = 0
        with self._member(name) as member:
            for line in lines:
                member.write(_json(line) + b"\n")
                count += 1
        return count

    def add_rows(self, name: str, count: int, dim: int, rows: Iterable[bytes]) -> None:
        """rows: `count` embeddings of dim fp16, little-endian."""
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": _HALF.str, "fortran_order": False, "shape": (count, dim)}
        )
        with self._member(name) as member:
            member.write(header.getvalue())
            for row in rows:
                member.write(row)

    def finish(self, manifest: Line, signer: Signer) -> None:
        """manifest: all but the format and the members."""
        whole = {"format": FORMAT, "version": VERSION, **manifest, "signed_by": signer.public, "members": self._members}
        text = _json(whole)
        self._archive.writestr(zipfile.ZipInfo(_MANIFEST, _EPOCH), text)
        self._archive.writestr(zipfile.ZipInfo(_SIGNATURE, _EPOCH), signer.sign(text))

    def _member(self, name: str) -> "_Member":
        return _Member(self._archive, name, self._members)


class _Member:
    """One member while it is written; notes its size and digest when it is done."""

    def __init__(self, archive: zipfile.ZipFile, name: str, members: dict[str, dict[str, Any]]) -> None:
        self._file = archive.open(zipfile.ZipInfo(name, _EPOCH), "w", force_zip64=True)
        self._name, self._members = name, members
        self._size, self._digest = 0, hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._size += len(data)
        self._digest.update(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._members[self._name] = {"bytes": self._size, "sha256": self._digest.hexdigest()}


def unpack(path: Path, trusted: Sequence[str]) -> Parcel:
    """What is in the file, if one of the `trusted` public keys signed it and every byte is as it was signed.

    Raises ExportInvalid, SignatureRefused.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _unpack(archive, path, trusted)
    except OSError as error:
        raise ExportInvalid(f"cannot be read ({error.strerror})", str(path), "Check the path.") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise _invalid(path, f"not a sound ZIP ({error})") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _invalid(path, "a manifest that does not say what it must") from None


def _unpack(archive: zipfile.ZipFile, path: Path, trusted: Sequence[str]) -> Parcel:
    _require_flat(archive, path)
    text = archive.read(_MANIFEST)
    _require_signed(text, archive.read(_SIGNATURE), path, trusted)
    manifest = json.loads(text)
    if (manifest.get("format"), manifest.get("version")) != (FORMAT, VERSION):
        raise _invalid(path, f"of format {manifest.get('format')} {manifest.get('version')}, not {FORMAT} {VERSION}")
    for name in (*_TABLES, *_ARRAYS):
        if _digest(archive, name) != manifest["members"][name]:
            raise SignatureRefused(f"{name} is not what was signed", str(path), "Export the collection again.")
    dim = int(manifest["space"]["dim"])
    subjects, templates, negatives = (_lines(archive, name, path) for name in _TABLES)
    embeddings = _rows(archive, _ARRAYS[0], (len(templates), dim), path)
    return Parcel(
        manifest, subjects, templates, embeddings, negatives, _rows(archive, _ARRAYS[1], (len(negatives), dim), path)
    )


def _require_flat(archive: zipfile.ZipFile, path: Path) -> None:
    """The members there must be and no others, none of them compressed, together no larger than the file."""
    members = archive.infolist()
    if sorted(member.filename for member in members) != sorted((_MANIFEST, _SIGNATURE, *_TABLES, *_ARRAYS)):
        raise _invalid(path, "not the members of an exported collection")
    if any(
        member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size for member in members
    ):
        raise _invalid(path, "a compressed member, which an export never has")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise _invalid(path, "members that overlap")
    if archive.getinfo(_MANIFEST).file_size > _LARGEST_MANIFEST or archive.getinfo(_SIGNATURE).file_size != 64:
        raise _invalid(path, "a manifest or a signature of an impossible size")


def _require_signed(manifest: bytes, signature: bytes, path: Path, trusted: Sequence[str]) -> None:
    if not trusted:
        raise SignatureRefused(
            "nobody whose signature is trusted was named for", str(path), "Give --signed-by: `index export` prints it."
        )
    for public in trusted:
        try:
            _public_key(public).verify(signature, _CONTEXT + manifest)
        except InvalidSignature:
            continue
        return
    raise SignatureRefused("not signed by anybody who is trusted, or changed since", str(path), "Ask for it again.")


def _public_key(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text.strip()))
    except ValueError:
        raise SigningKeyInvalid(
            "not a public key", text, "Give the 64 hex digits that `index export` prints."
        ) from None


def _digest(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with archive.open(name) as member:
        while chunk := member.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _lines(archive: zipfile.ZipFile, name: str, path: Path) -> list[dict[str, Any]]:
    return list(_parsed(archive, name, path))


def _parsed(archive: zipfile.ZipFile, name: str, path: Path) -> Iterator[dict[str, Any]]:
    with archive.open(name) as member:
        while line := member.readline(_LONGEST_LINE):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict) or not line.endswith(b"\n"):
                raise _invalid(path, f"a line of {name} that is no JSON object")
            yield row


def _rows(archive: zipfile.ZipFile, name: str, shape: tuple[int, int], path: Path) -> Halves:
    """The array, its header read before anything is made room for. Raises ExportInvalid unless it is fp16 `shape`."""
    with archive.open(name) as member:
        try:
            version = np.lib.format.read_magic(member)
            header = np.lib.format.read_array_header_1_0(member) if version == (1, 0) else None
        except ValueError:
            header = None
        if header != (shape, False, _HALF) or archive.getinfo(name).file_size - member.tell() != _size(shape):
            raise _invalid(path, f"{name} is not {shape[0]} embeddings of {shape[1]} fp16 numbers")
        return np.frombuffer(member.read(), dtype=_HALF).reshape(shape)


def _size(shape: tuple[int, int]) -> int:
    return shape[0] * shape[1] * _HALF.itemsize


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _invalid(path: Path, what: str) -> ExportInvalid:
    return ExportInvalid(what, str(path), "Give a file that `index export` wrote.")
