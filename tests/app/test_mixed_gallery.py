"""A gallery with Templates of the teacher and, enrolled after a swap, of the student: either model searches it."""

import numpy as np
import pytest

from app.client import Client
from index.gallery import Template
from tests.app import parts
from tests.app.parts import BLUE, GREEN, RED, photo

YELLOW = (240, 240, 10)


@pytest.fixture
def mixed(engine, models):
    """Red and Green by the teacher; Blue, and Red once more, by the student."""
    embedder = engine.switch.load(str(models["student"])).embedder
    for name, colour in (("blue", BLUE), ("red", (200, 30, 30))):
        crop = np.full((1, 112, 112, 3), colour, dtype=np.uint8)
        engine.gallery.enrol(name, [Template(embedder.embed(crop)[0], embedder.model_id)], space=embedder.space)
    return engine.gallery


def test_each_template_says_which_model_made_it(mixed, models):
    made = {parts.model_id(models[name]): 2 for name in ("teacher", "student")}
    assert mixed.stats().models == made


@pytest.mark.parametrize("model", ["teacher", "student"])
def test_either_model_names_the_people_of_both_and_no_stranger(mixed, url, models, model):
    with Client(url) as client:
        client.activate(str(models[model]))
        answer = client.identify(photo(RED, YELLOW, BLUE, GREEN))
        assert [face.decision.subject_id for face in answer.faces] == ["red", None, "blue", "green"]
        assert answer.model.name == model
        assert answer.gallery.subjects == mixed.stats().subjects


def test_a_subject_with_templates_of_both_appears_once(mixed, url):
    with Client(url) as client:
        (face,) = client.identify(photo(RED), top_k=10).faces
    assert [each.subject_id for each in face.candidates].count("red") == 1
    assert len(face.candidates) == mixed.stats().subjects


def test_the_gate_measures_over_both(mixed, url, models, probes):
    photos = [(path.parent.name, path) for path in sorted(probes.glob("*/*.png"))]
    photos = [("blue" if person == "_strangers" else person, path) for person, path in photos]
    with Client(url) as client:
        verdict = client.gate(str(models["student"]), photos)
    assert verdict.passed
    assert (verdict.new.rank1.count, verdict.new.rank1.of, verdict.new.rank1.people) == (13, 13, mixed.stats().subjects)


def test_swaps_back_and_forth_leave_every_template_as_it_was(mixed, url, models):
    before = mixed.ends(100)
    with Client(url) as client:
        for _ in range(3):
            client.activate(str(models["student"]))
            client.roll_back()
    after = mixed.ends(100)
    assert after.subject_ids == before.subject_ids
    assert (after.oldest == before.oldest).all()
    assert (after.newest == before.newest).all()
    assert mixed.check() == []
