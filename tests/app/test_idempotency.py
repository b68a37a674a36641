"""A request that is sent twice happens once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Overloaded, RepeatRefused, RepeatTooEarly
from app.idempotency import Once, Repeatable, Reply, fingerprint, response_of, scope_of
from index import repeats as repeats_of
from index.errors import GalleryUnavailable, SubjectUnknown
from index.gallery import create_gallery
from index.repeats import KEPT_FOR, Whom
from tests.app.parts import PATIENCE, SPACE

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
FULL = GalleryUnavailable("database or disk is full", "people.heirloom", "Make room.")
ADA = Whom(1, "ada")
REQUEST = Repeatable("ada /faces", "one", "content", ADA)


class Repeats:
    """In memory."""

    def __init__(self):
        self.kept = {}

    def recall(self, scope, key, now):
        kept, at = self.kept.get((scope, key), (None, now))
        return kept if now - at < KEPT_FOR else None

    def keep(self, scope, key, kept, _, now):
        self.kept[scope, key] = (kept, now)


class Act:
    """Counts how often it is carried out."""

    def __init__(self, *errors):
        self.errors, self.times = list(errors), 0

    def __call__(self):
        self.times += 1
        if self.errors:
            raise self.errors.pop(0)
        return Reply(201, f'{{"n": {self.times}}}')


@pytest.fixture
def repeats():
    return Repeats()


@pytest.fixture
def once(repeats):
    return Once(repeats, lambda: NOW)


def test_the_second_gets_the_answer_of_the_first(once):
    act = Act()
    assert once.answer(REQUEST, act) == Reply(201, '{"n": 1}')
    assert once.answer(REQUEST, act) == Reply(201, '{"n": 1}', replayed=True)
    assert act.times == 1


def test_it_does_so_after_a_restart(repeats):
    act = Act()
    for _ in range(2):
        Once(repeats, lambda: NOW).answer(REQUEST, act)
    assert act.times == 1


def test_another_content_under_the_same_key_is_refused(once):
    act = Act()
    once.answer(REQUEST, act)
    with pytest.raises(RepeatRefused, match="'one'"):
        once.answer(Repeatable(REQUEST.scope, REQUEST.key, "other", ADA), act)
    assert act.times == 1


def test_another_callers_key_is_another_key(once):
    act = Act()
    once.answer(REQUEST, act)
    assert not once.answer(Repeatable("bob /faces", "one", "content", ADA), act).replayed


def test_after_a_day_a_key_is_new(repeats):
    act = Act()
    Once(repeats, lambda: NOW).answer(REQUEST, act)
    assert not Once(repeats, lambda: NOW + timedelta(days=1)).answer(REQUEST, act).replayed


def test_an_error_is_not_kept_so_the_next_try_may_succeed(once):
    act = Act(Overloaded("too many", 32, "Try again."))
    with pytest.raises(Overloaded):
        once.answer(REQUEST, act)
    assert once.answer(REQUEST, act).status == 201


def test_while_the_first_is_under_way_the_second_is_told_so(once):
    begun, go_on = Event(), Event()

    def slow():
        begun.set()
        assert go_on.wait(PATIENCE)
        return Reply(201, "{}")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(once.answer, REQUEST, slow)
        assert begun.wait(PATIENCE)
        with pytest.raises(RepeatTooEarly):
            once.answer(REQUEST, Act())
        assert not once.answer(Repeatable(REQUEST.scope, "two", "content", ADA), Act()).replayed
        go_on.set()
        assert first.result() == Reply(201, "{}")
    assert once.answer(REQUEST, Act()).replayed


def test_of_many_at_once_one_is_carried_out(once):
    act = Act()

    def ask(_):
        try:
            return once.answer(REQUEST, act).answer
        except RepeatTooEarly:
            return None

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(100))) <= {'{"n": 1}', None}
    assert act.times == 1


def test_an_answer_that_cannot_be_kept_is_given_all_the_same(once, repeats, monkeypatch, caplog):
    def refuse(*_):
        raise FULL

    monkeypatch.setattr(repeats, "keep", refuse)
    assert once.answer(REQUEST, Act()) == Reply(201, '{"n": 1}')
    assert "disk is full" in caplog.text


def test_no_answer_stays_of_somebody_who_is_forgotten_before_it_is_kept(tmp_path):
    with create_gallery(tmp_path / "people.heirloom", SPACE) as gallery:

        def act():
            gallery.forget("ada")
            return Reply(201, '{"subject_id":"ada"}')

        gallery.put_subject("ada")
        once = Once(repeats_of.Repeats(gallery.store), lambda: NOW)
        request = Repeatable("key /faces", "one", "content", Whom(gallery.number, "ada"))
        assert once.answer(request, act).status == 201
        with pytest.raises(SubjectUnknown):
            once.answer(request, act)


def test_a_store_that_does_not_answer_lets_nothing_happen(once, repeats, monkeypatch):
    def refuse(*_):
        raise FULL

    monkeypatch.setattr(repeats, "recall", refuse)
    act = Act()
    with pytest.raises(GalleryUnavailable):
        once.answer(REQUEST, act)
    assert act.times == 0


@pytest.mark.parametrize(("replayed", "header"), [(False, None), (True, "true")])
def test_a_replayed_answer_says_so_and_is_otherwise_the_same(replayed, header):
    response = response_of(Reply(201, '{"n": 1}', replayed))
    assert (response.status_code, response.body) == (201, b'{"n": 1}')
    assert response.headers["content-type"] == "application/json"
    assert response.headers.get("idempotency-replayed") == header


PARTS = st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), max_size=4)


@given(one=PARTS, other=PARTS)
def test_contents_have_one_fingerprint_when_they_are_the_same(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


def test_a_scope_tells_callers_and_addresses_apart_and_names_nobody():
    scopes = {
        scope_of(actor, method, path)
        for actor in ("ada", "bob")
        for method in ("POST", "PUT")
        for path in ("/v1/subjects/eve/faces", "/v1/subjects")
    }
    assert len(scopes) == 8
    assert not any("eve" in scope for scope in scopes)
