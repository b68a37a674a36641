"""The whole path on real photos, with the real detector and the dlib teacher."""

from pathlib import Path

import pytest

from faces.detect import Detector, open_detector
from faces.embed import ModelEmbedder
from faces.image import read_image
from faces.models import find_model, open_embedder
from index.build import build_gallery, find_people
from index.calibrate import calibrate, chosen
from index.gallery import create_gallery
from index.identify import OneByOne, identify

pytestmark = pytest.mark.real

PEOPLE = 30
SCENE, SCENE_FACES = "data/scenes/dlib_2008_002470.jpg", 6


@pytest.fixture(scope="module")
def detector() -> Detector:
    return open_detector()


@pytest.fixture(scope="module")
def teacher() -> ModelEmbedder:
    return open_embedder(find_model("dlib"))


def test_people_are_known_again_on_other_photos_and_strangers_are_not(shared, detector, teacher, path, tmp_path):
    photos = {person.name: sorted(person.iterdir()) for person in sorted((shared / "data/lfw/dev").iterdir())}
    known = {name: files for name, files in photos.items() if len(files) > 1}
    for name in list(known)[:PEOPLE]:
        (tmp_path / "people" / name).mkdir(parents=True)
        (tmp_path / "people" / name / "enrolled.jpg").symlink_to(known[name][0])
    with create_gallery(path, teacher.space) as gallery:
        report = build_gallery(find_people(tmp_path / "people"), gallery, detector, teacher)
        assert (report.enrolled, report.skipped, report.subjects) == (PEOPLE, (), PEOPLE)

        def decided(photo: Path) -> str | None:
            stages = OneByOne(gallery, detector, teacher)
            by = calibrate(gallery, teacher.card, 0.1)
            answer = identify(lambda: read_image(photo.read_bytes()), stages, by, top_k=1)
            return max(answer.faces, key=lambda found: found.face.box[2] - found.face.box[0]).decision.subject_id

        again = {name: decided(known[name][1]) for name in list(known)[:PEOPLE]}
        strangers = [decided(files[0]) for files in list(photos.values())[-PEOPLE:]]
    assert sum(name == found for name, found in again.items()) >= 0.8 * PEOPLE
    assert sum(found is not None for found in strangers) <= 0.3 * PEOPLE


def test_every_face_of_a_group_photo_has_an_answer(shared, detector, teacher, path):
    scene = shared / SCENE
    with create_gallery(path, teacher.space) as gallery:
        by = chosen(0.92, gallery, teacher.card)
        stages = OneByOne(gallery, detector, teacher)
        answer = identify(lambda: read_image(scene.read_bytes()), stages, by, top_k=3)
    assert len(answer.faces) >= SCENE_FACES
    assert all(face.candidates == () and face.decision.subject_id is None for face in answer.faces)
