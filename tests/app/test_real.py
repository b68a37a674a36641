"""Real photos, the real detector, dlib's network, and a student made from it by shaking its weights a little."""

import csv
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from app.client import Client
from app.engine import open_engine
from app.service import create_app
from app.settings import Settings
from faces.detect import open_detector
from faces.image import read_image
from faces.models import find_model, open_embedder
from faces.pipeline import principal_face, read_faces
from faces.space import digest, short_id
from index.gallery import Template, create_gallery
from tests.app import parts

pytestmark = pytest.mark.real

SUBJECTS = 8
THRESHOLD = 0.92  # dlib's cosines are all high: one stranger in a hundred reaches 0.906


@pytest.fixture(scope="module")
def shaken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Model of dlib's Space: its network with 2 % of noise on each weight."""
    teacher = find_model("dlib")
    network, draw = onnx.load_model(teacher.onnx), np.random.default_rng(3)
    for tensor in network.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.ndim > 1:
            noise = 1 + 0.02 * draw.standard_normal(weights.shape, dtype=np.float32)
            tensor.CopyFrom(numpy_helper.from_array(weights * noise, tensor.name))
    model = network.SerializeToString()
    card = replace(teacher.card, name="shaken", role="student", model_id=short_id(digest(model)))
    folder = tmp_path_factory.mktemp("models") / "shaken"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model)
    (folder / "card.json").write_text(card.to_json())
    return folder


@pytest.fixture(scope="module")
def people(shared: Path) -> dict[str, list[Path]]:
    """Subject -> two photos: the first is to be enrolled, the second is the probe."""
    photos: dict[str, list[Path]] = defaultdict(list)
    with (shared / "data/lfw/protocol/dev_identification.csv").open() as file:
        for row in csv.DictReader(file):
            if row["role"] in ("gallery", "probe"):
                photos[row["subject"]].append(shared / "data/lfw/dev" / row["photo"])
    return {subject: listed[:2] for subject, listed in list(photos.items())[:SUBJECTS]}


@pytest.fixture(scope="module")
def url(people: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("gallery") / "people.heirloom"
    embedder, detector = open_embedder(find_model("dlib")), open_detector()
    with create_gallery(path, embedder.space) as gallery:
        for subject, (photo, _) in people.items():
            image = read_image(photo.read_bytes())
            read = read_faces(image, detector, embedder)
            best = read[principal_face([found.face for found in read], image)]
            gallery.enrol(subject, [Template(best.embedding, embedder.model_id)], space=embedder.space)
    settings = Settings(gallery=path, model="dlib", threshold=THRESHOLD)
    with open_engine(settings) as engine:
        app = create_app(engine, admission=parts.admission(), limits=settings.limits, paths_allowed=True)
        with parts.served(app) as served:
            yield served


def nearest(client, photos):
    """Of each photo: the best Candidate of the largest face, by Subject and score."""
    best = []
    for photo in photos:
        faces = client.identify(photo).faces
        largest = max(faces, key=lambda face: (face.box.x_max - face.box.x_min) * (face.box.y_max - face.box.y_min))
        best.append((largest.candidates[0].subject_id, largest.candidates[0].score))
    return best


def test_people_are_found_by_teacher_and_student_in_the_same_gallery(url, people, shaken):
    enrolled, probes = zip(*people.values(), strict=True)
    with Client(url) as client:
        for model in ("dlib", str(shaken)):
            client.activate(model)
            assert [subject for subject, score in nearest(client, enrolled) if score > 0.98] == list(people)
            right = [
                found for found, subject in zip(nearest(client, probes), people, strict=True) if found[0] == subject
            ]
            assert len(right) >= SUBJECTS - 1


def test_every_face_of_a_group_is_answered(url, shared):
    with Client(url) as client:
        answers = [client.identify(photo, top_k=3) for photo in sorted((shared / "data/scenes").glob("dlib_*.jpg"))[:4]]
    assert max(len(answer.faces) for answer in answers) > 1
    for answer in answers:
        assert all(len(face.candidates) == 3 for face in answer.faces)
        assert all(0 <= face.box.x_min < face.box.x_max <= answer.image.width for face in answer.faces)


def test_eight_clients_and_a_swap_back_and_forth(url, people, shaken):
    photo = next(iter(people.values()))[1].read_bytes()
    answers, stop = [], threading.Event()

    def ask():
        with Client(url) as client:
            while not stop.is_set():
                answers.append(client.identify(photo))

    with ThreadPoolExecutor(8) as pool, Client(url) as client:
        names = [client.activate("dlib").active.name]
        asking = [pool.submit(ask) for _ in range(8)]
        try:
            for model in (str(shaken), "dlib", str(shaken)):
                parts.wait_until(lambda: names[-1] in {each.model.name for each in answers[-8:]})
                names.append(client.activate(model).active.name)
            parts.wait_until(lambda: names[-1] in {each.model.name for each in answers[-8:]})
        finally:
            stop.set()
        for each in asking:
            each.result()
    assert {answer.model.name for answer in answers} == {*names} == {"dlib", "shaken"}
    assert all(face.decision.model_id == answer.model.model_id for answer in answers for face in answer.faces)
