"""Answers that are kept for a day."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from index.repeats import KEPT_FOR, Kept, Repeats, drop_mentions, keep, recall
from index.schema import TABLES
from index.store import create_store, open_store

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


def kept(request="ab", **answer):
    return Kept(request, 201, json.dumps(answer))


@pytest.fixture
def connection():
    with closing(sqlite3.connect(":memory:")) as opened:
        opened.executescript(TABLES)
        yield opened


def test_an_answer_is_there_for_a_day(connection):
    keep(connection, "ada", "one", kept(n=1), NOW)
    assert recall(connection, "ada", "one", NOW + KEPT_FOR - INSTANT) == kept(n=1)
    assert recall(connection, "ada", "one", NOW + KEPT_FOR) is None


def test_a_key_is_one_of_its_scope(connection):
    keep(connection, "ada", "one", kept(n=1), NOW)
    assert recall(connection, "bob", "one", NOW) is None
    keep(connection, "bob", "one", kept(n=2), NOW)
    assert recall(connection, "ada", "one", NOW) == kept(n=1)


def test_what_is_too_old_goes_when_the_next_comes(connection):
    keep(connection, "ada", "one", kept(), NOW)
    keep(connection, "ada", "two", kept(), NOW + KEPT_FOR)
    assert connection.execute("SELECT key FROM idempotency").fetchall() == [("two",)]


def test_a_key_that_was_used_long_ago_can_be_used_again(connection):
    keep(connection, "ada", "one", kept(n=1), NOW)
    keep(connection, "ada", "one", kept(n=2), NOW + KEPT_FOR)
    assert recall(connection, "ada", "one", NOW + KEPT_FOR) == kept(n=2)


@pytest.mark.parametrize("answer", [{"subject_id": "ada"}, {"faces": [{"of": "ada"}]}, {"by_id": {"ada": 1}}])
def test_an_answer_that_names_a_subject_can_be_forgotten(connection, answer):
    keep(connection, "key", "one", kept(**answer), NOW)
    keep(connection, "key", "two", kept(subject_id="adam", name="ada lovelace"), NOW)
    assert drop_mentions(connection, "ada") == 1
    assert recall(connection, "key", "one", NOW) is None
    assert recall(connection, "key", "two", NOW) is not None


def test_in_a_store_they_outlive_its_closing(tmp_path):
    path = tmp_path / "people.heirloom"
    with create_store(path) as store:
        Repeats(store).keep("ada", "one", kept(n=1), NOW)
    with open_store(path) as store:
        assert Repeats(store).recall("ada", "one", NOW) == kept(n=1)
