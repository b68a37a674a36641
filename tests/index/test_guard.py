"""What speaks against enrolling a photo."""

import numpy as np
import pytest

from faces.detect import Face
from index.gallery import Template, create_gallery
from index.guard import TWIN, Evidence, Judgement, are_several, judge, look_around
from tests.index.fakes import EAST, NORTH, SPACE, direction

MATCH = 0.5
NOTHING = Judgement((), ())
ONE_DOUBT = {
    "blurred": Evidence(("blurred",)),
    "duplicate": Evidence((), known=True, own=1.0),
    "near_duplicate": Evidence((), own=TWIN),
    "closer_to_another_subject": Evidence((), own=0.6, other=0.7),
}


def test_a_good_photo_is_enrolled_in_every_mode():
    for mode in ("off", "flag", "strict"):
        for evidence in (Evidence(()), Evidence((), own=0.9, other=0.4), Evidence((), own=0.9, other=0.8)):
            assert judge(evidence, mode, MATCH) == NOTHING


@pytest.mark.parametrize(("reason", "evidence"), ONE_DOUBT.items())
def test_a_doubt_is_told_by_a_service_that_flags_and_refused_by_a_strict_one(reason, evidence):
    assert judge(evidence, "flag", MATCH) == Judgement((), (reason,))
    assert judge(evidence, "strict", MATCH) == Judgement((reason,), ())


def test_what_is_no_photo_of_one_face_is_refused_unless_nobody_looks():
    poor = ("small", "blurred", "tilted")
    for evidence, reasons in (
        (Evidence(("blurred",), several=True, own=1.0), ("several_faces",)),
        (Evidence(poor), ("too_poor", *poor)),
        (Evidence(("small", "uncertain_detection")), ("too_poor", "small", "uncertain_detection")),
    ):
        assert judge(evidence, "flag", MATCH).refused == judge(evidence, "strict", MATCH).refused == reasons
        assert judge(evidence, "off", MATCH).refused == ()


def test_nobody_is_taken_for_another_below_the_threshold_or_without_one():
    assert judge(Evidence((), other=0.49), "strict", MATCH) == NOTHING
    assert judge(Evidence((), other=MATCH), "flag", MATCH).flagged == ("closer_to_another_subject",)
    assert judge(Evidence((), other=0.99), "strict", None) == NOTHING


def face(x_min, size=40):
    return Face((x_min, 0.0, x_min + size, size), 0.99, np.zeros((5, 2), np.float32))


def test_faces_are_several_when_a_second_stands_out_half_as_much():
    assert not are_several([face(30)], 100, 40)
    assert are_several([face(10), face(50)], 100, 40)
    assert not are_several([face(30), face(70)], 100, 40)  # one in the middle, one at its side
    assert not are_several([face(30), face(40, size=10)], 100, 40)
    assert not are_several([], 100, 40)


def test_a_photo_is_compared_with_its_own_subject_the_photos_before_it_and_everybody_else(tmp_path):
    between = direction(1, 1)
    with create_gallery(tmp_path / "people.heirloom", SPACE) as gallery:
        gallery.enrol("ada", [Template(EAST, "m")], space=SPACE)
        gallery.enrol("bob", [Template(NORTH, "m")], space=SPACE)
        found = look_around(gallery, "ada", np.stack([between, between, NORTH]), space=SPACE)
        stranger = look_around(gallery, "zoe", EAST[None], space=SPACE)
    half = pytest.approx(np.sqrt(0.5), abs=1e-3)
    assert [(each.own, each.other) for each in found] == [
        (half, half),
        (pytest.approx(1, abs=1e-3), half),
        (half, pytest.approx(1, abs=1e-3)),
    ]
    assert [(each.own, each.other) for each in stranger] == [(None, pytest.approx(1, abs=1e-3))]
