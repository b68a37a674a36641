"""How an embedding lies in the store: plainly, or sealed with AES-256-GCM by a key that is not in the store.

A sealed embedding is `tag of the key (8) | nonce (12) | ciphertext | authenticator (16)`. The nonce is random: one
key is good for 2³² embeddings (NIST SP 800-38D, 8.3), and each store derives its own from the user's, with its id. What
is authenticated besides is where the embedding belongs, so that a row moved to another Subject does not open. Names and
metadata are not sealed; nor is anything in memory.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from faces.errors import FacesError
from index.errors import SealBroken, StoreKeyInvalid, StoreKeyMissing, StoreKeyWrong

KEY: Final = "HEIRLOOM_STORE_KEY"
OLD_KEY: Final = "HEIRLOOM_STORE_KEY_OLD"

Table = Literal["templates", "negatives"]
"""Those that hold embeddings."""

_KEY_BYTES: Final = 32
_TAG: Final = 8
_NONCE: Final = 12
_OVERHEAD: Final = _TAG + _NONCE + 16  # bytes by which a sealed embedding is longer
_FEWEST_DIFFERENT: Final = 8  # bytes of a key; of 32 random ones about 30 are
_MAKE_ONE: Final = "Give 32 random bytes in base64 or hex, say of: openssl rand -base64 32"


class Cipher(Protocol):
    """One way to keep bytes."""

    @property
    def key_id(self) -> str:
        """Empty where no key is needed."""
        ...

    def seal(self, data: bytes, where: bytes) -> bytes: ...

    def owns(self, sealed: bytes, size: int) -> bool:
        """Whether these are `size` bytes that were kept in this way."""
        ...

    def open(self, sealed: bytes, where: bytes) -> bytes:
        """Raises SealBroken."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """As they are."""

    key_id: str = ""

    def seal(self, data: bytes, where: bytes) -> bytes:  # noqa: ARG002 - a Cipher's
        return data

    def owns(self, sealed: bytes, size: int) -> bool:
        return len(sealed) == size

    def open(self, sealed: bytes, where: bytes) -> bytes:  # noqa: ARG002 - a Cipher's
        return sealed


class Sealed:
    """Under a key."""

    def __init__(self, key: bytes, store_id: str) -> None:
        self.key_id = key_id(key)
        self._tag = bytes.fromhex(self.key_id)
        self._aes = AESGCM(HKDF(SHA256(), _KEY_BYTES, store_id.encode(), b"heirloom embeddings").derive(key))

    def seal(self, data: bytes, where: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return self._tag + nonce + self._aes.encrypt(nonce, data, where)

    def owns(self, sealed: bytes, size: int) -> bool:
        return len(sealed) == size + _OVERHEAD and sealed.startswith(self._tag)

    def open(self, sealed: bytes, where: bytes) -> bytes:
        try:
            return self._aes.decrypt(sealed[_TAG : _TAG + _NONCE], sealed[_TAG + _NONCE :], where)
        except InvalidTag:
            raise SealBroken(
                "an embedding that was changed, or belongs elsewhere", where.decode(), "Restore it from a backup."
            ) from None


@dataclass(frozen=True, slots=True)
class Sealing:
    """How one store keeps its embeddings. While its key is being changed, they lie in two ways."""

    new: Cipher
    old: Cipher | None = None

    @property
    def state(self) -> str:
        """What `store.sealed` holds: the id of the key, or OLD>NEW while it is being changed."""
        return self.new.key_id if self.old is None else f"{self.old.key_id}>{self.new.key_id}"

    def seal(self, data: bytes, where: bytes) -> bytes:
        """data: an embedding's bytes. where: see `place`."""
        return self.new.seal(data, where)

    def open(self, sealed: bytes, where: bytes, size: int) -> bytes:
        """`size` bytes. Raises SealBroken."""
        for cipher in (self.new, self.old):
            if cipher is not None and cipher.owns(sealed, size):
                return cipher.open(sealed, where)
        raise SealBroken("an embedding of the wrong length or key", where.decode(), "Restore it from a backup.")


PLAIN: Final = Sealing(Plain())


def place(table: Table, number: int, subject: int, model_id: str) -> bytes:
    """Where an embedding belongs: its row, the number of its Subject, the Model that made it."""
    return f"{table} {number} {subject} {model_id}".encode()


def sealing_of(state: str, store_id: str, environment: Mapping[str, str]) -> Sealing:
    """What opens a store whose `store.sealed` is `state`.

    Raises StoreKeyMissing, StoreKeyInvalid, StoreKeyWrong.
    """
    old, changing, new = state.rpartition(">")
    return Sealing(_cipher_of(new, store_id, environment), _cipher_of(old, store_id, environment) if changing else None)


def new_sealing(store_id: str, environment: Mapping[str, str]) -> Sealing:
    """For a store that is made now: sealed from its first row on if there is a key. Raises StoreKeyInvalid."""
    return sealed_by_key(store_id, environment) if environment.get(KEY) else PLAIN


def sealed_by_key(store_id: str, environment: Mapping[str, str]) -> Sealing:
    """Under the key of HEIRLOOM_STORE_KEY. Raises StoreKeyMissing, StoreKeyInvalid."""
    if not environment.get(KEY):
        raise StoreKeyMissing("no key in", KEY, _MAKE_ONE)
    return Sealing(Sealed(parse_key(environment[KEY], KEY), store_id))


def key_id(key: bytes) -> str:
    """16 hex digits that name a key and tell nothing of it."""
    return hmac.digest(key, b"heirloom key id", "sha256").hex()[: 2 * _TAG]


def _cipher_of(wanted: str, store_id: str, environment: Mapping[str, str]) -> Cipher:
    if not wanted:
        return Plain()
    given = {name: parse_key(environment[name], name) for name in (KEY, OLD_KEY) if environment.get(name)}
    for key in given.values():
        if key_id(key) == wanted:
            return Sealed(key, store_id)
    if given:
        raise StoreKeyWrong(
            f"the store is sealed with key {wanted}; {' and '.join(given)} hold{'s' * (len(given) == 1)}",
            ", ".join(key_id(key) for key in given.values()),
            f"Set {KEY} to the key that the store was sealed with.",
        )
    raise StoreKeyMissing("the store is sealed with key", wanted, f"Set {KEY} to that key.")


def parse_key(text: str, variable: str, refusal: type[FacesError] = StoreKeyInvalid) -> bytes:
    """32 bytes, of base64 or hex; `variable` held the text. Raises `refusal`, which does not repeat it."""
    key = _decoded(text.strip())
    if key is None or len(key) != _KEY_BYTES:
        raise refusal("not a key in", variable, _MAKE_ONE)
    if len(set(key)) < _FEWEST_DIFFERENT:
        raise refusal("a key that is not random in", variable, _MAKE_ONE)
    return key


def _decoded(text: str) -> bytes | None:
    try:
        if len(text) == 2 * _KEY_BYTES:
            return bytes.fromhex(text)
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
