"""Each collection has thresholds of its own, measured once, and gone with it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from app.thresholds import Thresholds
from tests.app import parts
from tests.app.parts import PATIENCE


@pytest.fixture
def thresholds():
    return Thresholds(0.01)


@pytest.fixture
def card(engine):
    return engine.switch.models.active.card


@pytest.fixture
def made(gallery):
    """A new, empty collection of this name."""

    def make(name):
        gallery.store.create_collection(name, parts.SPACE)
        return gallery.store.gallery(name)

    return make


@pytest.fixture
def measuring(monkeypatch, thresholds):
    """In `held`, collections of which what was measured is held back until `go_on` is set; `all`: those measured."""
    seen = SimpleNamespace(held=set(), all=[], inside=threading.Event(), go_on=threading.Event())
    measure = Thresholds._made

    def hold(gallery, card):
        table = measure(thresholds, gallery, card)
        seen.all.append(gallery.collection)
        if gallery.collection in seen.held:
            seen.inside.set()
            assert seen.go_on.wait(PATIENCE)
        return table

    monkeypatch.setattr(thresholds, "_made", hold)
    yield seen
    seen.go_on.set()


@pytest.mark.parametrize("measure", [Thresholds.several, Thresholds.measure], ids=["asked for", "by the loader"])
def test_what_is_being_measured_in_a_deleted_collection_is_not_that_of_the_next_of_its_name(
    thresholds, card, gallery, made, measuring, measure
):
    visitors = made("visitors")
    measuring.held.add("visitors")
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(measure, thresholds, visitors, card)
        assert measuring.inside.wait(PATIENCE)
        gallery.store.delete_collection("visitors")
        thresholds.forget("visitors")
        others = made("visitors")
        measuring.go_on.set()
        late.result(PATIENCE)
    assert not thresholds.known(others, card)
    assert thresholds.collections() == set()
    assert thresholds.several(others, card)
    assert measuring.all == ["visitors", "visitors"]


def test_a_collection_that_was_deleted_elsewhere_leaves_the_next_of_its_name_nothing(thresholds, card, gallery, made):
    assert thresholds.several(made("visitors"), card)
    gallery.store.delete_collection("visitors")
    assert not thresholds.known(made("visitors"), card)


def test_one_is_forgotten_while_another_is_measured(thresholds, card, gallery, made):
    visitors = made("visitors")
    thresholds.measure(visitors, card)

    class Meanwhile(str):
        """Measures when it is compared."""

        __hash__ = str.__hash__

        def __eq__(self, other):
            thresholds.measure(gallery, card)
            return str(self) == other

    thresholds.forget(Meanwhile("visitors"))
    assert thresholds.collections() == {"default"}


def test_nobody_waits_for_what_is_measured_in_another_collection(thresholds, card, gallery, made, measuring):
    measuring.held.add("default")
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(thresholds.several, gallery, card)
        assert measuring.inside.wait(PATIENCE)
        assert pool.submit(thresholds.several, made("visitors"), card).result(PATIENCE)
        assert not slow.done()
        measuring.go_on.set()


def test_another_fpir_of_one_collection_is_measured_beside_those_of_another(
    thresholds, card, gallery, made, monkeypatch
):
    visitors, inside, go_on = made("visitors"), threading.Event(), threading.Event()

    def of(collection):
        table = thresholds._table(collection, card)
        return table.calibration

    default, theirs = of(gallery), of(visitors)

    def hold(calibration, _fpir):
        if calibration is default:
            inside.set()
            assert go_on.wait(PATIENCE)
        return calibration

    monkeypatch.setattr("index.calibrate.Calibration.threshold", hold)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(thresholds.deciding, gallery, card, fpir=0.2)
        assert inside.wait(PATIENCE)
        assert pool.submit(thresholds.deciding, visitors, card, fpir=0.2).result(PATIENCE) is theirs
        assert not slow.done()
        go_on.set()


def test_the_first_requests_of_a_collection_wait_for_one_measurement(thresholds, card, gallery, measuring):
    measuring.held.add("default")
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(thresholds.several, gallery, card) for _ in range(4)]
        assert measuring.inside.wait(PATIENCE)
        measuring.go_on.set()
        assert len({each.result(PATIENCE) for each in asked}) == 1
    assert measuring.all == ["default"]
