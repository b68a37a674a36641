"""POST /identify: photos in, names out."""

import numpy as np
import pytest

from index.gallery import Template
from tests.app import parts
from tests.app.parts import BLACK, BLUE, GREEN, RED, photo


def identify(client, data, **query):
    response = client.post("/identify", files={"image": ("photo.png", data)}, params=query)
    assert response.status_code == 200, response.text
    return response.json()


def test_an_enrolled_person_is_named(client):
    (face,) = identify(client, photo(RED))["faces"]
    assert face["decision"]["subject_id"] == "red"
    best = face["candidates"][0]
    assert (best["subject_id"], best["name"]) == ("red", "Red")
    assert best["score"] == pytest.approx(1, abs=1e-3)


def test_a_person_who_is_not_enrolled_is_unknown_but_has_candidates(client):
    (face,) = identify(client, photo(BLUE))["faces"]
    assert face["decision"]["subject_id"] is None
    assert {candidate["subject_id"] for candidate in face["candidates"]} == {"red", "green"}
    assert all(candidate["score"] < parts.TEACHER_THRESHOLD for candidate in face["candidates"])


def test_every_face_has_an_answer_of_its_own(client):
    faces = identify(client, photo(GREEN, BLACK, BLUE, RED))["faces"]
    assert [face["decision"]["subject_id"] for face in faces] == ["green", None, "red"]
    assert [face["box"]["x_min"] for face in faces] == [0, 80, 120]


def test_a_photo_without_a_face_is_answered_with_no_faces(client):
    assert identify(client, photo(BLACK))["faces"] == []


def test_top_k_is_the_number_of_candidates_and_best_comes_first(client):
    (one,) = identify(client, photo(GREEN), top_k=1)["faces"]
    (all_there_are,) = identify(client, photo(GREEN), top_k=100)["faces"]
    assert [candidate["subject_id"] for candidate in one["candidates"]] == ["green"]
    assert [candidate["subject_id"] for candidate in all_there_are["candidates"]] == ["green", "red"]


def test_the_answer_has_the_promised_shape(client, models):
    """DESIGN.md §3: extended, never renamed."""
    answer = identify(client, photo(RED))
    assert answer.keys() >= {"request_id", "model", "gallery", "image", "faces", "timings_ms"}
    assert answer["model"] == {
        "model_id": parts.model_id(models["teacher"]),
        "space_id": parts.SPACE.space_id,
        "name": "teacher",
        "role": "teacher",
    }
    assert answer["gallery"].keys() == {"subjects", "templates", "version"}
    assert (answer["gallery"]["subjects"], answer["gallery"]["templates"]) == (2, 2)
    assert answer["image"] == {"width": 40, "height": 40}
    assert answer["timings_ms"].keys() == {"wait", "decode", "detect", "quality", "align", "embed", "search"}
    (face,) = answer["faces"]
    assert face["box"] == {"x_min": 0, "y_min": 0, "x_max": 40, "y_max": 40}
    assert len(face["landmarks"]) == 5
    assert all(len(point) == 2 for point in face["landmarks"])
    assert face["quality"].keys() == {"ok", "reasons"}
    assert all(isinstance(candidate["template_id"], str) for candidate in face["candidates"])
    assert face["decision"] == {
        "subject_id": "red",
        "threshold": parts.TEACHER_THRESHOLD,
        "fpir": 0.01,
        "calibrated_on": "card",
        "subjects": 370,
        "date": "2026-11-22",
        "model_id": parts.model_id(models["teacher"]),
        "low": None,
        "high": None,
        "trials": None,
        "extrapolated": False,
    }


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_three_kinds_of_photo_are_read(client, kind):
    (face,) = identify(client, photo(RED, kind=kind))["faces"]
    assert face["decision"]["subject_id"] == "red"


def test_the_name_and_type_that_the_client_states_are_not_trusted(client):
    response = client.post("/identify", files={"image": ("notes.txt", photo(RED, kind="JPEG"), "text/plain")})
    assert response.json()["faces"][0]["decision"]["subject_id"] == "red"


def test_a_subject_enrolled_meanwhile_is_found_at_once(client, gallery, engine):
    embedder = engine.switch.models.active.embedder
    row = embedder.embed(np.full((1, 112, 112, 3), BLUE, dtype=np.uint8))[0]
    gallery.enrol("blue", [Template(row, embedder.model_id)], space=parts.SPACE)
    answer = identify(client, photo(BLUE))
    assert answer["faces"][0]["decision"]["subject_id"] == "blue"
    assert answer["gallery"]["subjects"] == 3
