"""The file of an exported collection: whole, signed and flat, or refused before anything of it is looked at."""

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from index.errors import ExportInvalid, SignatureRefused, SigningKeyInvalid, SigningKeyMissing
from index.parcel import SIGNING_KEY, Packing, Parcel, Signer, signer_of, unpack

DIM = 8
OURS = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
THEIRS = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
ROWS = np.arange(3 * DIM, dtype="<f2").reshape(3, DIM)
SUBJECTS = [{"subject_id": "ada", "name": "Ada Lovelace"}, {"subject_id": "bøb"}]
TEMPLATES = [{"subject": 0}, {"subject": 0}, {"subject": 1}]
Members = dict[str, bytes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "people.npz")


def write(path: Path, signer: Signer = OURS, dim: int = DIM) -> Path:
    with path.open("wb") as file, Packing(file) as packing:
        packing.add_lines("subjects.jsonl", SUBJECTS)
        packing.add_lines("templates.jsonl", TEMPLATES)
        packing.add_rows("embeddings.npy", 3, DIM, (row.tobytes() for row in ROWS))
        packing.add_lines("negatives.jsonl", [])
        packing.add_rows("negatives.npy", 0, DIM, [])
        packing.finish({"space": {"dim": dim}}, signer)
    return path


def members(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path: Path, change: Callable[[Members], object], compression: int = zipfile.ZIP_STORED) -> None:
    """The same file with `change` made to its members, the signature as it was."""
    held = members(path)
    change(held)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in held.items():
            archive.writestr(name, data)


def sign_again(held: Members) -> None:
    """As somebody who is trusted, but careless, would."""
    manifest = json.loads(held["manifest.json"])
    for name in manifest["members"]:
        digest = hashlib.sha256(held[name]).hexdigest()
        manifest["members"][name] = {"bytes": len(held[name]), "sha256": digest}
    held["manifest.json"] = json.dumps(manifest).encode()
    held["signature"] = OURS.sign(held["manifest.json"])


def test_what_was_packed_comes_out(path):
    parcel = unpack(path, [THEIRS.public, OURS.public])
    assert isinstance(parcel, Parcel)
    assert (parcel.subjects, parcel.templates, parcel.negatives) == (SUBJECTS, TEMPLATES, [])
    assert parcel.embeddings.dtype == np.float16
    assert (parcel.embeddings == ROWS).all()
    assert parcel.negative_embeddings.shape == (0, DIM)
    assert parcel.manifest["signed_by"] == OURS.public


def test_numpy_reads_the_file_as_an_npz(path):
    with np.load(path, allow_pickle=False) as arrays:
        assert (arrays["embeddings"] == ROWS).all()


def test_the_same_collection_makes_the_same_file(path, tmp_path):
    assert write(tmp_path / "again.npz").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("trusted", [[], [THEIRS.public]], ids=["nobody", "somebody else"])
def test_a_file_that_nobody_trusted_has_signed_is_refused(path, trusted):
    with pytest.raises(SignatureRefused):
        unpack(path, trusted)


@given(at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused_or_was_none_of_the_collections(tmp_path_factory, at, bit):
    path = write(tmp_path_factory.mktemp("export") / "people.npz")
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    try:
        found = unpack(path, [OURS.public])
    except (ExportInvalid, SignatureRefused):
        return
    assert (found.subjects, found.templates, found.embeddings.tolist()) == (SUBJECTS, TEMPLATES, ROWS.tolist())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_a_file_that_was_cut_is_refused(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ExportInvalid, match=r"people\.npz"):
        unpack(path, [OURS.public])


@pytest.mark.parametrize("name", ["subjects.jsonl", "templates.jsonl", "embeddings.npy", "negatives.npy"])
def test_a_member_that_was_changed_is_refused_by_name(path, name):
    rewrite(path, lambda held: held.update({name: held[name] + b" "}))
    with pytest.raises(SignatureRefused, match=name):
        unpack(path, [OURS.public])


@pytest.mark.parametrize(
    "change",
    [
        lambda held: held.pop("negatives.npy"),
        lambda held: held.update({"../../etc/passwd": b""}),
        lambda held: held.update({"manifest.json": b" " * ((1 << 20) + 1)}),
        lambda held: held.update({"signature": b""}),
    ],
    ids=["one is missing", "one too many", "a huge manifest", "no signature"],
)
def test_a_file_with_other_members_is_refused(path, change):
    rewrite(path, change)
    with pytest.raises(ExportInvalid):
        unpack(path, [OURS.public])


def test_a_compressed_member_is_refused_before_it_can_swell(path):
    rewrite(path, lambda held: held.update({"embeddings.npy": bytes(50_000_000)}), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(ExportInvalid, match="compressed"):
        unpack(path, [OURS.public])


def _array(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        _array(ROWS[:2]),
        _array(ROWS.astype("<f4")),
        _array(np.asfortranarray(ROWS)),
        _array(np.array([None] * 3 * DIM, dtype=object).reshape(3, DIM)),
        _array(ROWS).replace(b"(3, 8)", b"(9, 8)"),
        _array(ROWS) + b"more",
        pickle.dumps(ROWS),
        b"",
    ],
    ids=[
        "too few",
        "of floats",
        "in another order",
        "pickled objects",
        "a false shape",
        "too long",
        "a pickle",
        "empty",
    ],
)
def test_an_array_that_is_not_the_embeddings_is_refused_even_when_it_is_signed(path, data):
    rewrite(path, lambda held: (held.update({"embeddings.npy": data}), sign_again(held)))
    with pytest.raises(ExportInvalid, match=r"embeddings\.npy is not 3 embeddings of 8"):
        unpack(path, [OURS.public])


@pytest.mark.parametrize("line", [b"[]\n", b"{\n", b'{"subject_id": "ada"}', b"{" + b" " * (1 << 18) + b"}\n"])
def test_a_line_that_is_no_object_is_refused_even_when_it_is_signed(path, line):
    rewrite(path, lambda held: (held.update({"subjects.jsonl": line}), sign_again(held)))
    with pytest.raises(ExportInvalid, match=r"subjects\.jsonl"):
        unpack(path, [OURS.public])


@pytest.mark.parametrize("manifest", [b"[]", b"{}", b"no", b'{"format":"heirloom-collection","version":1,"members":0}'])
def test_a_manifest_that_says_nothing_is_refused_even_when_it_is_signed(path, manifest):
    rewrite(path, lambda held: held.update({"manifest.json": manifest, "signature": OURS.sign(manifest)}))
    with pytest.raises(ExportInvalid):
        unpack(path, [OURS.public])


def test_the_signing_key_comes_from_the_environment():
    assert signer_of({SIGNING_KEY: bytes(range(32)).hex()}).public == OURS.public
    with pytest.raises(SigningKeyMissing, match="openssl rand"):
        signer_of({})
    with pytest.raises(SigningKeyInvalid, match=SIGNING_KEY):
        signer_of({SIGNING_KEY: "secret"})


def test_what_is_no_public_key_is_refused(path):
    with pytest.raises(SigningKeyInvalid, match="64 hex digits"):
        unpack(path, ["secret"])
