"""The API keys of an open store."""

from datetime import UTC, datetime

import pytest

from index import audit
from index.access import Grant
from index.errors import AccessKeyUnknown, AccessRefused
from index.keyring import Keyring
from index.store import create_store, open_store

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
GRANT = Grant("Ada's phone", ["identify"], ["staff"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "people.heirloom"


@pytest.fixture
def store(path):
    with create_store(path) as opened:
        yield opened


def test_a_key_of_another_process_counts_at_once_and_so_does_its_end(store, path):
    keyring = Keyring(store)
    assert not keyring.any()
    with open_store(path) as other:
        key, token = Keyring(other).create(GRANT, NOW)
        assert keyring.find(token, NOW) == key
        Keyring(other).revoke(key.key_id, NOW)
    with pytest.raises(AccessRefused):
        keyring.find(token, NOW)


def test_when_all_are_revoked_there_were_some(store):
    keyring = Keyring(store)
    keyring.revoke(keyring.create(GRANT, NOW)[0].key_id, NOW)
    assert keyring.any()


def test_making_and_revoking_are_in_the_audit_log_without_label_or_secret(store):
    keyring = Keyring(store)
    key, token = keyring.create(GRANT, NOW, actor="0123456789ab")
    keyring.revoke(key.key_id, NOW)
    entries = store.read(lambda connection: audit.entries(connection, limit=9))
    told = [(entry.action, entry.actor, entry.body["key_id"], entry.body["collections"]) for entry in entries]
    assert told == [("revoke_key", "cli", key.key_id, ["staff"]), ("create_key", "0123456789ab", key.key_id, ["staff"])]
    assert "Ada" not in str(entries)
    assert token.split("_")[2] not in str(entries)


def test_what_was_not_done_is_not_in_the_audit_log(store):
    with pytest.raises(AccessKeyUnknown):
        Keyring(store).revoke("0123456789ab", NOW)
    assert store.read(lambda connection: audit.entries(connection, limit=9)) == []
