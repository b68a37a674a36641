"""Several photos of a person as one vector."""

import numpy as np
import pytest

from kd.evaluate.protocol import Template
from kd.evaluate.templates import template_rows
from tests.kd.evaluate.parts import direction

STILL, FRAMES = direction(1, 0, 0), (direction(0, 1, 0), direction(0, 1, 1))


def rows(*media, photos):
    return template_rows([Template("ada", media)], photos, 3)


def test_a_video_counts_as_much_as_a_still():
    found = rows(("still",), ("f0", "f1"), photos={"still": STILL, "f0": FRAMES[0], "f1": FRAMES[1]})
    mean = [(STILL[i] + (FRAMES[0][i] + FRAMES[1][i]) / 2) / 2 for i in range(3)]
    assert found.vectors[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_a_photo_is_its_own_template():
    assert rows(("still",), photos={"still": STILL}).vectors[0] == pytest.approx(STILL)


def test_a_photo_without_a_face_is_left_out():
    found = rows(("still",), ("lost",), ("f0", "lost"), photos={"still": STILL, "f0": FRAMES[0]})
    assert found.vectors[0] == pytest.approx(direction(1, 1, 0))


def test_a_template_without_a_face_is_not_there():
    assert rows(("lost",), photos={}).there.tolist() == [False]


def test_opposites_have_no_mean():
    assert rows(("a",), ("b",), photos={"a": STILL, "b": -STILL}).there.tolist() == [False]
