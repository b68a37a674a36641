"""The stages put together."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from faces.align import ARCFACE_112, align
from faces.detect import Face
from faces.image import read_image
from faces.models import find_model, open_embedder, read_model
from faces.pipeline import align_faces, embed_faces, principal_face, read_faces
from faces.quality import assess
from tests.faces.parts import DIM, small_card, small_network, write_model


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    model = small_network()
    return open_embedder(read_model(write_model(tmp_path_factory.mktemp("m") / "small", model, small_card(model))))


def face_at(x, y, side=112.0, score=0.99):
    return Face((x, y, x + side, y + side), score, np.array(ARCFACE_112.points, np.float32) * side / 112 + [x, y])


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


class FixedDetector:
    """Finds the same faces in every photo."""

    def __init__(self, *found):
        self.found = found

    def detect(self, images):
        return [list(self.found) for _ in images]


def test_every_face_is_read_in_the_detectors_order(embedder):
    image, found = noise(300, 400), [face_at(200, 100, score=0.9), face_at(10, 20)]
    read = read_faces(image, FixedDetector(*found), embedder)
    assert [each.face for each in read] == found
    assert [each.quality for each in read] == [assess(image, face) for face in found]
    for each in read:
        (alone,) = embedder.embed(align(image, each.face.landmarks, ARCFACE_112)[None])
        assert_allclose(each.embedding, alone, rtol=1e-5)


def test_a_photo_without_a_face_has_no_rows(embedder):
    assert read_faces(noise(50, 50), FixedDetector(), embedder) == []
    assert embed_faces(noise(50, 50), [], embedder).shape == (0, DIM)
    assert align_faces(noise(50, 50), [], ARCFACE_112).shape == (0, 112, 112, 3)


def test_crops_are_in_the_recipe_that_is_asked_for():
    crops = align_faces(noise(200, 200), [face_at(5, 6), face_at(50, 60)], ARCFACE_112)
    assert crops.dtype == np.uint8
    assert_array_equal(crops[0], noise(200, 200)[6:118, 5:117])


class TestPrincipalFace:
    IMAGE = np.empty((300, 300, 3), dtype=np.uint8)

    @pytest.mark.parametrize(
        ("found", "index"),
        [
            ([face_at(0, 0)], 0),
            ([face_at(0, 0, 90), face_at(100, 100, 90)], 1),
            ([face_at(100, 100, 60), face_at(60, 60, 180)], 1),
            ([face_at(130, 130, 40), face_at(0, 0, 120)], 0),
            ([face_at(150, 150, 50), face_at(100, 100, 50)], 0),
        ],
        ids=[
            "the only one",
            "of equal size the central one",
            "of central ones the larger",
            "a small central one before a larger at the border",
            "the first of equals",
        ],
    )
    def test_it_is_large_and_central(self, found, index):
        assert principal_face(found, self.IMAGE) == index

    def test_the_weight_is_area_less_twice_the_squared_distance(self):
        """A face of 100 × 100 loses to one of 60 × 60 in the centre when it is over √3200 = 56.6 pixels away."""
        central = face_at(120, 120, 60)
        assert principal_face([central, face_at(100 + 56, 100, 100)], self.IMAGE) == 1
        assert principal_face([central, face_at(100 + 57, 100, 100)], self.IMAGE) == 0


@pytest.mark.real
def test_two_photos_of_one_person_are_nearer_than_two_people(shared: Path, detector):
    embedder = open_embedder(find_model("dlib"), threads=1)
    rows = []
    for name in (
        "Yasser_Arafat/Yasser_Arafat_0003",
        "Yasser_Arafat/Yasser_Arafat_0006",
        "Zakia_Hakki/Zakia_Hakki_0001",
    ):
        image = read_image((shared / "data/lfw/dev" / f"{name}.jpg").read_bytes())
        read = read_faces(image, detector, embedder)
        rows.append(read[principal_face([each.face for each in read], image)].embedding)
    cosines = np.array(rows) @ np.array(rows).T
    assert cosines[0, 1] > 0.93
    assert max(cosines[0, 2], cosines[1, 2]) < 0.9
