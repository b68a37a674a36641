"""An API key opens what it was made for, until it expires or is revoked; its secret is nowhere."""

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from index import access
from index.access import Grant
from index.errors import AccessKeyInvalid, AccessKeyUnknown, AccessRefused
from index.schema import TABLES

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
GATE = Grant("the gate", ["identify"])


@pytest.fixture
def store() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(TABLES)
        yield connection


def test_a_key_is_found_by_its_text_as_it_was_made(store):
    grant = Grant("the gate", ["enrol", "identify"], ["staff", "guests"], LATER)
    key, token = access.create(store, grant, NOON)
    assert access.find(store, token, NOON) == key
    assert (key.label, key.scopes, key.collections) == ("the gate", ("identify", "enrol"), ("guests", "staff"))
    assert (key.created, key.expires, key.revoked) == (NOON.isoformat(), LATER.isoformat(), None)
    assert token.startswith(f"hl_{key.key_id}_")


def test_no_two_keys_are_alike(store):
    assert len({access.create(store, GATE, NOON)[1][-64:] for _ in range(100)}) == 100


def test_the_secret_is_not_in_the_store(store):
    _, token = access.create(store, GATE, NOON)
    secret = token.rpartition("_")[2]
    dump = json.dumps(store.execute("SELECT * FROM access_keys").fetchall(), default=bytes.hex)
    assert secret not in dump
    assert bytes.fromhex(secret).hex()[:16] not in dump


def test_a_key_is_refused_from_the_moment_it_expires_and_says_when_that_was(store):
    _, token = access.create(store, Grant("a day's", ["identify"], expires=LATER), NOON)
    assert access.find(store, token, LATER - timedelta(seconds=1))
    with pytest.raises(AccessRefused, match=f"expired at {LATER.isoformat()}".replace("+", r"\+")):
        access.find(store, token, LATER)


def test_a_key_is_refused_once_it_is_revoked_and_stays_on_the_list(store):
    key, token = access.create(store, GATE, NOON)
    revoked = access.revoke(store, key.key_id, LATER)
    with pytest.raises(AccessRefused, match="revoked at"):
        access.find(store, token, LATER)
    assert access.keys(store) == [revoked]
    assert revoked.revoked == LATER.isoformat()


def test_revoking_twice_keeps_the_first_time(store):
    key, _ = access.create(store, GATE, NOON)
    access.revoke(store, key.key_id, NOON)
    assert access.revoke(store, key.key_id, LATER).revoked == NOON.isoformat()


def test_a_key_that_is_not_there_cannot_be_revoked(store):
    with pytest.raises(AccessKeyUnknown, match="app keys list"):
        access.revoke(store, "0123456789ab", NOON)


@pytest.mark.parametrize("damage", [str.upper, lambda text: text[:-1], lambda text: text + "0", str.title])
def test_a_text_that_is_not_the_keys_is_refused(store, damage):
    _, token = access.create(store, GATE, NOON)
    with pytest.raises(AccessRefused, match="no such API key"):
        access.find(store, damage(token), NOON)


def test_a_wrong_secret_is_refused_like_an_unknown_key_even_when_the_key_was_revoked(store):
    key, token = access.create(store, GATE, NOON)
    access.revoke(store, key.key_id, NOON)
    forged = f"hl_{key.key_id}_{'0' * 64}"
    unknown = f"hl_{'0' * 12}_{token.rpartition('_')[2]}"
    for text in (forged, unknown):
        with pytest.raises(AccessRefused) as refusal:
            access.find(store, text, NOON)
        assert refusal.value.what == "no such API key"
        assert text[-64:] not in str(refusal.value)


def test_secrets_are_compared_in_constant_time_whether_or_not_there_is_such_a_key(store, monkeypatch):
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: compared.append((one, other)) or real(one, other))
    for text in (access.create(store, GATE, NOON)[1], f"hl_{'0' * 12}_{'0' * 64}", "nonsense"):
        try:
            access.find(store, text, NOON)
        except AccessRefused:
            continue
    assert [(len(one), len(other)) for one, other in compared] == [(32, 32)] * 3


def test_the_empty_secret_opens_nothing(store):
    nothing = hashlib.sha256(b"").digest()
    store.execute("INSERT INTO access_keys VALUES ('', ?, '', '[]', '[]', '', NULL, NULL)", (nothing,))
    for text in ("", "hl__", "nonsense"):
        with pytest.raises(AccessRefused):
            access.find(store, text, NOON)


@pytest.mark.parametrize("column", ["label", "scopes", "collections", "created", "expires"])
def test_a_key_whose_row_was_changed_opens_nothing_and_is_still_listed(store, column):
    _, text = access.create(store, GATE, NOON)
    store.execute(f"UPDATE access_keys SET {column} = '[\"admin\"]'")  # noqa: S608 - names of ours
    with pytest.raises(AccessRefused):
        access.find(store, text, NOON)
    assert len(access.keys(store)) == 1


def test_a_key_whose_scopes_are_no_text_any_more_is_listed_without(store):
    access.create(store, GATE, NOON)
    store.execute("UPDATE access_keys SET scopes = '[\"ident'")
    assert [key.scopes for key in access.keys(store)] == [()]


def test_a_scope_stands_for_itself_alone():
    key = access.AccessKey("", "", ("admin",), (), "", None, None)
    assert [scope for scope in access.SCOPES if key.allows(scope, "staff")] == ["admin"]


def test_a_key_for_some_collections_opens_no_other_and_nothing_above_them():
    key = access.AccessKey("", "", ("identify",), ("staff",), "", None, None)
    assert (key.allows("identify", "staff"), key.allows("identify", "guests"), key.allows("identify")) == (
        True,
        False,
        False,
    )


@pytest.mark.parametrize(
    "grant",
    [
        Grant("", ["identify"]),
        Grant("two\nlines", ["identify"]),
        Grant("x" * 101, ["identify"]),
        Grant("gate", []),
        Grant("gate", ["identify", "root"]),
        Grant("gate", ["identify"], expires=NOON),
        Grant("gate", ["identify"], expires=LATER.replace(tzinfo=None)),
    ],
    ids=["no label", "two lines", "too long", "no scope", "unknown scope", "expired", "no time zone"],
)
def test_a_grant_that_makes_no_sense_is_refused_and_makes_no_key(store, grant):
    with pytest.raises(AccessKeyInvalid):
        access.create(store, grant, NOON)
    assert access.keys(store) == []
