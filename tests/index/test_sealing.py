"""A sealed embedding opens with its key, where it belongs, unchanged; and in no other case."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.errors import SealBroken, StoreKeyInvalid, StoreKeyMissing, StoreKeyWrong
from index.sealing import KEY, OLD_KEY, PLAIN, Plain, Sealed, Sealing, key_id, new_sealing, place, sealing_of

BYTES = bytes(range(32))
OTHER = bytes(range(100, 132))
STORE = "aa" * 8
ROW = b"embedding-in-fp16"
HERE = place("templates", 7, 3, "0123456789abcdef")
SEALING = Sealing(Sealed(BYTES, STORE))


def test_a_sealed_embedding_opens_where_it_was_sealed():
    sealed = SEALING.seal(ROW, HERE)
    assert ROW not in sealed
    assert SEALING.open(sealed, HERE, len(ROW)) == ROW


def test_the_same_embedding_is_never_sealed_alike():
    assert len({SEALING.seal(ROW, HERE)[8:20] for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "elsewhere",
    [
        place("templates", 8, 3, "0123456789abcdef"),
        place("templates", 7, 4, "0123456789abcdef"),
        place("templates", 7, 3, "fedcba9876543210"),
        place("negatives", 7, 3, "0123456789abcdef"),
    ],
    ids=["another row", "another Subject", "another Model", "another table"],
)
def test_a_sealed_embedding_that_was_moved_does_not_open(elsewhere):
    with pytest.raises(SealBroken, match="belongs elsewhere"):
        SEALING.open(SEALING.seal(ROW, HERE), elsewhere, len(ROW))


@given(at=st.integers(0, len(ROW) + 35), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_sealed_embedding_shows(at, bit):
    sealed = bytearray(SEALING.seal(ROW, HERE))
    sealed[at] ^= 1 << bit
    with pytest.raises(SealBroken):
        SEALING.open(bytes(sealed), HERE, len(ROW))


@pytest.mark.parametrize("cut", [0, 7, 8, 20, len(ROW) + 35])
def test_a_sealed_embedding_that_was_cut_shows(cut):
    with pytest.raises(SealBroken):
        SEALING.open(SEALING.seal(ROW, HERE)[:cut], HERE, len(ROW))


def test_two_stores_under_one_key_cannot_read_each_others_rows():
    with pytest.raises(SealBroken):
        Sealing(Sealed(BYTES, "bb" * 8)).open(SEALING.seal(ROW, HERE), HERE, len(ROW))


def test_a_plain_store_keeps_bytes_as_they_are_and_refuses_another_length():
    assert PLAIN.open(PLAIN.seal(ROW, HERE), HERE, len(ROW)) == ROW
    with pytest.raises(SealBroken, match="length"):
        PLAIN.open(SEALING.seal(ROW, HERE), HERE, len(ROW))


def test_while_the_key_is_changed_both_kinds_of_rows_open_and_new_ones_take_the_new_key():
    changing = Sealing(Sealed(OTHER, STORE), Sealed(BYTES, STORE))
    sealed = changing.seal(ROW, HERE)
    assert changing.open(SEALING.seal(ROW, HERE), HERE, len(ROW)) == ROW
    assert Sealing(Sealed(OTHER, STORE)).open(sealed, HERE, len(ROW)) == ROW
    assert changing.state == f"{key_id(BYTES)}>{key_id(OTHER)}"


@pytest.mark.parametrize(
    ("new", "old"),
    [(BYTES, None), (OTHER, BYTES), (BYTES, b""), (b"", BYTES), (b"", None)],
    ids=["sealed", "changing the key", "being sealed", "being unsealed", "plain"],
)
def test_the_state_of_a_store_says_which_keys_open_it(new, old):
    cipher = {None: None, b"": Plain(), BYTES: Sealed(BYTES, STORE), OTHER: Sealed(OTHER, STORE)}
    made = Sealing(cipher[new], cipher[old])
    opened = sealing_of(made.state, STORE, {KEY: OTHER.hex(), OLD_KEY: BYTES.hex()})
    assert opened.state == made.state
    assert opened.open(made.seal(ROW, HERE), HERE, len(ROW)) == ROW


@pytest.mark.parametrize(
    "text",
    [
        BYTES.hex(),
        BYTES.hex().upper(),
        base64.b64encode(BYTES).decode(),
        base64.urlsafe_b64encode(bytes(range(224, 256))).decode(),
        base64.b64encode(BYTES).decode().rstrip("=") + "\n",
    ],
    ids=["hex", "HEX", "base64", "base64 for addresses", "without padding"],
)
def test_a_key_is_given_in_hex_or_base64(text):
    sealing = new_sealing(STORE, {KEY: text})
    assert sealing.open(sealing.seal(ROW, HERE), HERE, len(ROW)) == ROW
    assert len(sealing.state) == 16


@pytest.mark.parametrize("text", ["secret", "AAAA", "z" * 64, "0" * 64, base64.b64encode(b"k" * 32).decode(), "é" * 44])
def test_what_is_no_key_is_refused_without_repeating_it(text):
    with pytest.raises(StoreKeyInvalid, match="openssl rand") as refusal:
        new_sealing(STORE, {KEY: text})
    assert text not in str(refusal.value)


def test_a_new_store_is_sealed_if_and_only_if_there_is_a_key():
    assert new_sealing(STORE, {}) is PLAIN
    assert new_sealing(STORE, {KEY: ""}) is PLAIN
    assert new_sealing(STORE, {KEY: BYTES.hex()}).state == key_id(BYTES)


def test_a_sealed_store_without_its_key_says_which_key_it_wants():
    with pytest.raises(StoreKeyMissing, match=f"{key_id(BYTES)}.*Set {KEY}"):
        sealing_of(key_id(BYTES), STORE, {})


def test_a_sealed_store_with_another_key_names_both():
    with pytest.raises(StoreKeyWrong, match=f"sealed with key {key_id(BYTES)}; {KEY} holds: '{key_id(OTHER)}'"):
        sealing_of(key_id(BYTES), STORE, {KEY: OTHER.hex()})


def test_a_plain_store_opens_whatever_key_there_is():
    assert sealing_of("", STORE, {KEY: "nonsense"}).state == ""
