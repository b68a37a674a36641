"""The stages that requests share: each has its own rows back, and no run holds Crops for two models."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.engine import Engine, open_engine
from app.stages import CROPS, RequestStages, Search
from faces.image import read_image
from tests.app import parts
from tests.app.parts import BLUE, GREEN, RED, photo

COLOURS = (RED, GREEN, BLUE)


@pytest.fixture
def runs(engine, models, monkeypatch):
    """Every run of an embedder: whose it was and how many Crops it had."""
    noted = []
    engine.switch.activate(str(models["student"]))
    for active in (engine.switch.models.active, engine.switch.models.previous):

        def embed(crops, embedder=active.embedder, run=active.embedder.embed):
            noted.append((embedder.card.name, len(crops)))
            return run(crops)

        monkeypatch.setattr(active.embedder, "embed", embed)
    return noted


@pytest.fixture
def together(engine, held):
    """The results of calls that have all asked for their turn while the only worker looks at a photo."""

    def together(calls):
        with ThreadPoolExecutor(len(calls) + 1) as pool:
            looked = pool.submit(stages_of(engine, engine.switch.models.active).look, lambda: read_image(photo(RED)))
            assert held.inside.wait(parts.PATIENCE)
            asked = [pool.submit(call) for call in calls]
            parts.wait_until(lambda: engine.stages.workers.waiting(engine.stages.embedding) == len(calls))
            held.go_on.set()
            looked.result(parts.PATIENCE)
            return [each.result(parts.PATIENCE) for each in asked]

    return together


def crops_of(colours):
    return np.stack([np.full((112, 112, 3), colour, dtype=np.uint8) for colour in colours])


def stages_of(engine: Engine, active) -> RequestStages:
    return RequestStages(engine.stages, parts.ticket(), active.embedder, engine.gallery)


def test_crops_of_several_requests_are_embedded_together_and_each_has_its_own_rows(engine, runs, together):
    active = engine.switch.models.active
    sent = [crops_of(COLOURS[: i % 3 + 1]) for i in range(6)]
    found = together([lambda crops=crops: stages_of(engine, active).embed(crops) for crops in sent])
    assert runs == [("student", sum(map(len, sent)))]
    for rows, crops in zip(found, sent, strict=True):
        np.testing.assert_allclose(rows, active.embedder.embed(crops), atol=1e-6)


def test_crops_for_two_models_are_never_in_one_run(engine, runs, together):
    both = (engine.switch.models.active, engine.switch.models.previous)
    found = together([lambda active=both[i % 2]: stages_of(engine, active).embed(crops_of(COLOURS)) for i in range(8)])
    assert sorted(runs) == [("student", 12), ("teacher", 12)]
    for i, rows in enumerate(found):
        np.testing.assert_allclose(rows, both[i % 2].embedder.embed(crops_of(COLOURS)), atol=1e-6)


def test_a_photo_of_many_faces_takes_several_turns(engine, runs):
    active, crops = engine.switch.models.active, crops_of((COLOURS * CROPS)[: 2 * CROPS + 3])
    rows = stages_of(engine, active).embed(crops)
    assert [size for _, size in runs] == [CROPS, CROPS, 3]
    np.testing.assert_allclose(rows, active.embedder.embed(crops), atol=1e-6)


def test_no_crops_have_no_rows(engine):
    assert stages_of(engine, engine.switch.models.active).embed(crops_of((RED,))[:0]).shape == (0, parts.DIM)


def test_probes_of_several_requests_are_searched_together_as_far_as_they_ask_for_the_same(engine, monkeypatch):
    searched, search = [], engine.gallery.search
    monkeypatch.setattr(
        engine.gallery, "search", lambda probes, k, **of: searched.append((len(probes), k)) or search(probes, k, **of)
    )
    active, shared = engine.switch.models.active, engine.stages
    probes = active.embedder.embed(crops_of((RED, GREEN)))
    items = [Search(engine.gallery, active.embedder, probes[i % 2 :][:1], 1 + i // 4) for i in range(6)]
    found = [timed.value for timed in shared.searching.run(items[:4])]
    assert searched == [(4, 1)]
    assert [near.candidates[0][0].subject_id for near in found] == ["red", "green", "red", "green"]
    assert {shared.searching.key(item) for item in items} == {
        (engine.gallery, active.embedder.space, 1),
        (engine.gallery, active.embedder.space, 2),
    }


def test_swaps_amid_batches_never_mix_two_models(settings, models, monkeypatch):
    """Every answer is that which its model alone would have given, whatever was swapped while it waited."""
    monkeypatch.setattr("app.engine.open_detector", lambda **_: parts.SquareDetector())
    stop, both = threading.Event(), {"teacher", "student"}
    with open_engine(settings) as engine, ThreadPoolExecutor(9) as pool:
        engine.switch.activate(str(models["student"]))
        scores, seen = {}, []
        for active in (engine.switch.models.active, engine.switch.models.previous):
            near = engine.gallery.search(active.embedder.embed(crops_of(COLOURS)), 1, space=active.embedder.space)
            scores[active.card.name] = [found[0].score for found in near]

        def ask(_):
            for asked in itertools.count():
                if stop.is_set() or (asked >= 15 and both <= set(seen)):
                    break
                answered = engine.identify(lambda: photo(*COLOURS), 1, parts.ticket())
                got = [face.candidates[0].score for face in answered.found.faces]
                np.testing.assert_allclose(got, scores[answered.active.card.name], atol=1e-5)
                seen.append(answered.active.card.name)

        def swap():
            while not stop.is_set():
                engine.switch.roll_back()

        swapping = pool.submit(swap)
        try:
            list(pool.map(ask, range(8), timeout=parts.PATIENCE))
        finally:
            stop.set()
        swapping.result(parts.PATIENCE)
    assert set(seen) == both
