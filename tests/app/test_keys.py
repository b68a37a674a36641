"""The program `app keys`."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from app.cli import main
from index.errors import AccessRefused
from index.keyring import Keyring
from index.store import open_store


@pytest.fixture
def keys(gallery_path):
    """Run `app keys ARGUMENTS` on the gallery."""

    def run(*arguments):
        return CliRunner().invoke(main, ["keys", *arguments, "--gallery", str(gallery_path)])

    return run


def test_the_key_alone_is_on_stdout_and_opens_the_gallery(keys, gallery_path):
    done = keys("create", "front door", "--scope", "identify", "--scope", "audit", "--collection", "staff")
    (token,) = done.stdout.splitlines()
    with open_store(gallery_path) as store:
        keyring = Keyring(store)
        key = keyring.find(token, datetime.now(UTC))
    assert (key.label, key.scopes, key.collections) == ("front door", ("identify", "audit"), ("staff",))
    assert f"{key.key_id}  front door: identify, audit; staff; without end" in done.stderr
    assert token not in done.stderr


def test_what_is_stored_is_not_the_key(keys, gallery_path):
    secret = keys("create", "a", "--scope", "admin").stdout.strip().split("_")[2].encode()
    for file in gallery_path.parent.glob(f"{gallery_path.name}*"):
        assert secret not in file.read_bytes()
        assert bytes.fromhex(secret.decode()) not in file.read_bytes()


def test_a_list_has_every_key_and_no_secret(keys):
    tokens = [keys("create", label, "--scope", "identify").stdout.strip() for label in ("one", "two")]
    listed = keys("list").stdout
    assert [line.split("  ")[1].partition(":")[0] for line in listed.splitlines()] == ["one", "two"]
    assert all(token.split("_")[2] not in listed for token in tokens)
    told = json.loads(keys("list", "--json").stdout)
    assert [key["key_id"] for key in told] == [token.split("_")[1] for token in tokens]
    assert set(told[0]) == {"key_id", "label", "scopes", "collections", "created", "expires", "revoked"}


def test_where_there_is_none_the_list_says_what_that_means(keys):
    assert "no key" in keys("list").stdout


def test_a_key_that_was_revoked_is_refused_and_stays_in_the_list(keys, gallery_path):
    token = keys("create", "lost", "--scope", "identify").stdout.strip()
    assert "revoked" in keys("revoke", token.split("_")[1]).stdout
    assert "revoked" in keys("list").stdout
    with open_store(gallery_path) as store:
        keyring = Keyring(store)
        assert keyring.any()
        with pytest.raises(AccessRefused, match="revoked"):
            keyring.find(token, datetime.now(UTC))


def test_a_key_lasts_to_the_end_of_its_last_day(keys, gallery_path):
    token = json.loads(keys("create", "guest", "--scope", "identify", "--expires", "2999-12-31", "--json").stdout)[
        "token"
    ]
    with open_store(gallery_path) as store:
        keyring = Keyring(store)
        assert keyring.find(token, datetime(2999, 12, 31, 23, 59, tzinfo=UTC))
        with pytest.raises(AccessRefused, match="expired"):
            keyring.find(token, datetime(3000, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (["create", "a"], 2),
        (["create", "a", "--scope", "everything"], 2),
        (["create", "a", "--scope", "admin", "--expires", "tomorrow"], 2),
        (["create", "a", "--scope", "admin", "--expires", "2001-01-01"], 1),
        (["create", "", "--scope", "admin"], 1),
        (["revoke", "5f0c77aa9be1"], 1),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_printed(keys, arguments, exit_code):
    done = keys(*arguments)
    assert (done.exit_code, done.stdout) == (exit_code, "")
    assert done.stderr


def test_a_gallery_that_is_not_there_is_not_made(tmp_path):
    path = tmp_path / "none.heirloom"
    done = CliRunner().invoke(main, ["keys", "list", "--gallery", str(path)])
    assert (done.exit_code, path.exists()) == (1, False)
