"""Answers that are kept for a day."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import TypeAdapter

from index.repeats import KEPT_FOR, Kept, Repeats, Whom, drop_mentions, keep, recall
from index.schema import TABLES
from index.store import create_store, open_store
from tests.index.fakes import SPACE

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
ADA = Whom(1, "ada")
INSTANT = timedelta(microseconds=1)


def kept(request="ab", **answer):
    return Kept(request, 201, json.dumps(answer))


@pytest.fixture
def connection():
    with closing(sqlite3.connect(":memory:")) as opened:
        opened.executescript(TABLES)
        opened.execute("INSERT INTO subjects VALUES (1, 1, 'ada', 'Ada', '{}', NULL, '', 0)")
        yield opened


def test_an_answer_is_there_for_a_day(connection):
    keep(connection, "ada", "one", kept(n=1), ADA, NOW)
    assert recall(connection, "ada", "one", NOW + KEPT_FOR - INSTANT) == kept(n=1)
    assert recall(connection, "ada", "one", NOW + KEPT_FOR) is None


def test_a_key_is_one_of_its_scope(connection):
    keep(connection, "ada", "one", kept(n=1), ADA, NOW)
    assert recall(connection, "bob", "one", NOW) is None
    keep(connection, "bob", "one", kept(n=2), ADA, NOW)
    assert recall(connection, "ada", "one", NOW) == kept(n=1)


def test_what_is_too_old_goes_when_the_next_comes(connection):
    keep(connection, "ada", "one", kept(), ADA, NOW)
    keep(connection, "ada", "two", kept(), ADA, NOW + KEPT_FOR)
    assert connection.execute("SELECT key FROM idempotency").fetchall() == [("two",)]


def test_a_key_that_was_used_long_ago_can_be_used_again(connection):
    keep(connection, "ada", "one", kept(n=1), ADA, NOW)
    keep(connection, "ada", "one", kept(n=2), ADA, NOW + KEPT_FOR)
    assert recall(connection, "ada", "one", NOW + KEPT_FOR) == kept(n=2)


@pytest.mark.parametrize("answer", [{"subject_id": "ada"}, {"faces": [{"of": "ada"}]}, {"by_id": {"ada": 1}}])
def test_an_answer_that_names_a_subject_can_be_forgotten(connection, answer):
    keep(connection, "key", "one", kept(**answer), ADA, NOW)
    keep(connection, "key", "two", kept(subject_id="adam", name="ada lovelace"), ADA, NOW)
    assert drop_mentions(connection, {"ada", "eve"}) == 1
    assert recall(connection, "key", "one", NOW) is None
    assert recall(connection, "key", "two", NOW) is not None


def test_one_that_is_damaged_may_name_anybody(connection):
    keep(connection, "key", "one", Kept("ab", 201, '{"subject_id":"a'), ADA, NOW)
    keep(connection, "key", "two", kept(), ADA, NOW)
    connection.execute("UPDATE idempotency SET answer = CAST(X'22ff22' AS TEXT) WHERE key = 'two'")
    assert drop_mentions(connection, {"ada"}) == 2


@pytest.mark.parametrize("subject_id", ["ada", 'Zoë "Zo" Müller', "a\\b"])
def test_whoever_is_forgotten_is_in_no_answer_and_others_stay_in_theirs(gallery, subject_id):
    gallery.put_subject(subject_id)
    answers = {"one": subject_id, "two": f"{subject_id}-1042", "three": "e"}
    for key, named in answers.items():
        answer = TypeAdapter(dict[str, str]).dump_json({"subject_id": named}).decode()
        whom = Whom(gallery.number, subject_id)
        Repeats(gallery.store).keep("key", key, Kept("ab", 201, answer), whom, NOW)
    gallery.forget(subject_id)
    assert [key for key in answers if Repeats(gallery.store).recall("key", key, NOW)] == ["two", "three"]


@pytest.mark.parametrize("whom", [Whom(1, "eve"), Whom(2, "ada")], ids=["another", "of another collection"])
def test_nothing_is_kept_about_a_subject_that_is_not_there(connection, whom):
    keep(connection, "key", "one", kept(subject_id="ada"), whom, NOW)
    assert recall(connection, "key", "one", NOW) is None


def test_in_a_store_they_outlive_its_closing(tmp_path):
    path = tmp_path / "people.heirloom"
    with create_store(path, {"default": SPACE}) as store:
        store.gallery().put_subject("ada")
        Repeats(store).keep("ada", "one", kept(n=1), ADA, NOW)
    with open_store(path) as store:
        assert Repeats(store).recall("ada", "one", NOW) == kept(n=1)
