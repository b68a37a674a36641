"""The shadow by itself: what is chosen, counted, dropped. Live answers are made up; the candidate's are computed."""

import threading
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

from app.shadow import Live, Shadow, Tally, chosen
from app.view import Rule
from faces.image import ImageLimits
from index.threshold import decide
from tests.app import parts
from tests.app.parts import BLACK, BLUE, GREEN, RED, photo

NOW = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.fixture
def candidate(engine, models):
    return engine.switch.load(str(models["student"]))


@pytest.fixture
def shadow(engine):
    made = Shadow(engine.thresholds, ImageLimits(), lambda: NOW)
    yield made
    made.close()


def live(engine, data, gallery=None, rule=None, **options):
    """What the service answers."""
    gallery, rule = gallery or engine.gallery, rule or Rule()
    answer = engine.identify(lambda: data, 5, parts.ticket(), gallery=gallery, rule=rule, **options)
    return Live(answer.active, gallery, rule, answer.found)


def offer(shadow, engine, data, times=1, **asked):
    answer = live(engine, data, **asked)
    for _ in range(times):
        shadow.offer("a", data, answer)


def counted(shadow, photos):
    """The tally once so many photos are in it."""
    parts.wait_until(lambda: shadow.watch.tally.photos + shadow.watch.failed + shadow.watch.dropped == photos)
    return shadow.watch.tally


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_share_of_request_ids_is_chosen_and_always_the_same(share):
    ids = [f"request-{number}" for number in range(4000)]
    taken = [request_id for request_id in ids if chosen(request_id, share)]
    assert len(taken) / 4000 == pytest.approx(share, abs=0.03)
    assert taken == [request_id for request_id in ids if chosen(request_id, share)]


def test_what_a_smaller_share_chooses_a_larger_one_does_too():
    ids = [f"request-{number}" for number in range(500)]
    assert {each for each in ids if chosen(each, 0.1)} <= {each for each in ids if chosen(each, 0.4)}


def test_every_face_of_a_photo_is_compared(engine, shadow, candidate):
    shadow.start(candidate, engine.switch.models.active, 1.0)
    offer(shadow, engine, photo(RED, BLUE, GREEN))
    tally = counted(shadow, 1)
    assert (tally.faces, tally.alike, tally.nearest_alike, tally.scored) == (3, 3, 3, 3)
    assert -0.2 < tally.lowest <= tally.mean <= tally.highest < 0.2
    assert tally.highest > tally.lowest


def test_the_shadow_decides_by_what_its_model_decides_by_now(engine, shadow, candidate, monkeypatch):
    shadow.start(candidate, engine.switch.models.active, 1.0)
    answer = live(engine, photo(RED))
    grown = replace(candidate.threshold, value=1.01)
    monkeypatch.setattr(engine.thresholds, "deciding", lambda *_, **__: grown)
    shadow.offer("a", photo(RED), answer)
    assert counted(shadow, 1).live_only == 1


@pytest.mark.parametrize(("cosine", "named"), [(-1.0, True), (1.01, False)])
def test_the_shadow_decides_by_what_the_caller_wanted(engine, shadow, candidate, cosine, named):
    shadow.start(candidate, engine.switch.models.active, 1.0)
    answer = live(engine, photo(RED), rule=Rule(value=cosine))
    assert (answer.found.faces[0].decision.subject_id is not None) == named
    shadow.offer("a", photo(RED), answer)
    assert counted(shadow, 1).alike == 1


def test_the_shadow_searches_the_collection_that_was_asked(engine, shadow, candidate):
    engine.gallery.store.create_collection("visitors", parts.SPACE)
    visitors = engine.collection("visitors")
    visitors.enrol("somebody", parts.templates_of(engine, RED), space=parts.SPACE)
    shadow.start(candidate, engine.switch.models.active, 1.0)
    answer = live(engine, photo(RED), gallery=visitors)
    assert answer.found.faces[0].decision.subject_id == "somebody"
    shadow.offer("a", photo(RED), answer)
    tally = counted(shadow, 1)
    assert (tally.faces, tally.alike, tally.nearest_alike) == (1, 1, 1)


def test_a_face_that_nobody_was_looked_for_is_not_compared(engine, shadow, candidate):
    shadow.start(candidate, engine.switch.models.active, 1.0)
    answer = live(engine, photo(RED, BLUE))
    first, second = answer.found.faces
    passed_over = replace(second, candidates=(), decision=decide((), candidate.threshold), not_searched=("blurred",))
    shadow.offer("a", photo(RED, BLUE), replace(answer, found=replace(answer.found, faces=(first, passed_over))))
    tally = counted(shadow, 1)
    assert (tally.faces, tally.alike) == (1, 1)


def test_a_photo_without_a_face_counts_as_a_photo(engine, shadow, candidate):
    shadow.start(candidate, engine.switch.models.active, 1.0)
    offer(shadow, engine, photo(BLACK))
    assert (counted(shadow, 1).faces, shadow.watch.failed) == (0, 0)


def test_ways_to_differ_are_counted_apart():
    tally = Tally()
    for live, shadow in (("ada", "ada"), (None, None), ("ada", None), (None, "ada"), ("ada", "bob"), ("ada", "bob")):
        tally = tally.with_decisions(live, shadow)
    assert (tally.faces, tally.alike, tally.live_only, tally.shadow_only, tally.other) == (6, 2, 1, 1, 2)


def test_differences_are_summed_as_numpy_would():
    draws, tally = np.random.default_rng(5).normal(-0.02, 0.05, 200), Tally()
    for number, draw in enumerate(draws):
        tally = tally.with_nearest(number % 2 == 0, float(draw))
    assert (tally.nearest_alike, tally.scored) == (100, 200)
    assert tally.mean == pytest.approx(draws.mean())
    assert tally.deviation == pytest.approx(draws.std(ddof=1))
    assert (tally.lowest, tally.highest) == (draws.min(), draws.max())


def test_answers_of_another_model_than_the_live_one_are_not_compared(engine, shadow, candidate):
    shadow.start(candidate, engine.switch.models.active, 1.0)
    answer = live(engine, photo(RED))
    shadow.offer("a", photo(RED), replace(answer, active=candidate))  # as of a request that began before the last swap
    offer(shadow, engine, photo(GREEN))
    assert counted(shadow, 1).faces == 1


def test_a_live_model_that_is_activated_again_stays_the_live_one(engine, shadow, candidate, models):
    shadow.start(candidate, engine.switch.models.active, 1.0)
    engine.switch.activate(str(models["teacher"]))
    offer(shadow, engine, photo(GREEN))
    assert counted(shadow, 1).faces == 1


def test_without_room_photos_are_dropped_and_nobody_waits(engine, shadow, candidate, monkeypatch):
    go_on, begun = threading.Event(), threading.Event()
    search = engine.gallery.search

    def slow(*arguments, **options):
        if threading.current_thread().name == "shadow":
            begun.set()
            assert go_on.wait(parts.PATIENCE)
        return search(*arguments, **options)

    monkeypatch.setattr(engine.gallery, "search", slow)
    shadow.start(candidate, engine.switch.models.active, 1.0)
    offer(shadow, engine, photo(RED))
    assert begun.wait(parts.PATIENCE)
    offer(shadow, engine, photo(RED), times=20)
    assert shadow.watch.dropped == 13  # eight are under way or wait
    go_on.set()
    assert counted(shadow, 21).photos == 8


def test_large_photos_are_bounded_by_their_bytes(engine, shadow, candidate):
    shadow.start(candidate, engine.switch.models.active, 1.0)
    shadow.offer("a", b"x" * (33 * 2**20), live(engine, photo(RED)))
    assert shadow.watch.dropped == 1


def test_a_candidate_that_fails_is_counted_and_harms_nobody(engine, shadow, candidate):
    shadow.start(candidate, engine.switch.models.active, 1.0)
    shadow.offer("a", b"no photo", live(engine, photo(RED)))
    counted(shadow, 1)
    assert shadow.watch.failed == 1
    offer(shadow, engine, photo(RED))
    assert counted(shadow, 2).faces == 1


def test_begun_anew_it_counts_anew_and_ended_it_keeps_what_it_counted(engine, shadow, candidate):
    active = engine.switch.models.active
    shadow.start(candidate, active, 1.0)
    offer(shadow, engine, photo(RED))
    counted(shadow, 1)
    shadow.stop()
    offer(shadow, engine, photo(RED))
    assert (shadow.watch.running, shadow.watch.tally.photos) == (False, 1)
    assert shadow.start(candidate, active, 0.5).tally == Tally()


def test_no_model_photo_or_vector_is_held_once_it_has_ended(engine, shadow, candidate):
    shadow.start(candidate, engine.switch.models.active, 1.0)
    offer(shadow, engine, photo(RED))
    counted(shadow, 1)
    shadow.stop()
    parts.wait_until(lambda: shadow._bytes == 0)
    assert (shadow._pair, shadow._jobs.qsize(), shadow._waiting) == (None, 0, 0)


def test_before_the_first_there_is_none_and_nothing_is_taken(engine, shadow):
    offer(shadow, engine, photo(RED))
    assert shadow.watch is None
    shadow.stop()
    assert shadow._waiting == 0


def test_time_comes_from_the_clock(shadow, candidate):
    assert shadow.start(candidate, SimpleNamespace(card=candidate.card), 0.5).since == "2026-11-28T00:00:00+00:00"
