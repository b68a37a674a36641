"""The swap over HTTP."""

import httpx
import pytest

from app.service import create_app
from faces.image import ImageLimits
from index.errors import GalleryUnavailable
from tests.app import parts
from tests.app.parts import RED, photo


def activate(client, model):
    return client.post("/v1/models/activate", json={"model": str(model)})


def names(response):
    assert response.status_code == 200, response.text
    answer = response.json()
    return answer["active"]["name"], answer["previous"] and answer["previous"]["name"]


def identified_by(client):
    """The model that answers, and the threshold it answers with."""
    answer = client.post("/identify", files={"image": photo(RED)}).json()
    decision = answer["faces"][0]["decision"]
    assert decision["model_id"] == answer["model"]["model_id"]
    return answer["model"]["name"], decision["threshold"]


def test_at_first_the_model_of_the_command_line_answers(client):
    assert names(client.get("/v1/models")) == ("teacher", None)


def test_a_swap_changes_model_and_threshold_together_and_the_gallery_not_at_all(client, models):
    before = client.post("/identify", files={"image": photo(RED)}).json()["gallery"]
    assert identified_by(client) == ("teacher", parts.TEACHER_THRESHOLD)
    assert names(activate(client, models["student"])) == ("student", "teacher")
    assert identified_by(client) == ("student", parts.STUDENT_THRESHOLD)
    after = client.post("/identify", files={"image": photo(RED)}).json()["gallery"]
    assert (after["subjects"], after["templates"]) == (before["subjects"], before["templates"])


def test_the_way_back(client, models):
    activate(client, models["student"])
    assert names(client.post("/v1/models/rollback")) == ("teacher", "student")
    assert identified_by(client) == ("teacher", parts.TEACHER_THRESHOLD)


def test_the_answer_states_the_calibration_of_each_model(client, models):
    answer = activate(client, models["student"]).json()
    assert answer["active"]["calibration"] == {
        "threshold": parts.STUDENT_THRESHOLD,
        "fpir": 0.01,
        "calibrated_on": "card",
        "subjects": 370,
        "date": "2026-11-22",
        "model_id": parts.model_id(models["student"]),
        "low": None,
        "high": None,
        "trials": None,
        "extrapolated": False,
    }


def test_a_model_of_another_space_is_refused_with_the_fields_that_differ(client, models):
    response = activate(client, models["stranger"])
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (409, "space_mismatch")
    assert error["details"]["fields"] == {"teacher": [parts.OTHER_SPACE.teacher, parts.SPACE.teacher]}
    assert identified_by(client)[0] == "teacher"


def test_an_unknown_model_is_refused_with_the_names_there_are(client):
    response = activate(client, "no-such-model")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_unknown")
    assert "dlib" in response.json()["error"]["details"]["remedy"]


def test_a_card_that_disagrees_with_its_file_is_refused_with_both_values(client, tmp_path):
    folder = parts.write_model(tmp_path / "edited")
    parts.edit_card(folder, model_id="f" * 16)
    response = activate(client, folder)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "card_invalid")
    assert "f" * 16 in response.json()["error"]["message"]
    assert identified_by(client)[0] == "teacher"


def test_a_model_without_its_weights_is_refused(client, tmp_path):
    folder = parts.write_model(tmp_path / "empty")
    (folder / "model.onnx").unlink()
    response = activate(client, folder)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "weights_missing")


def test_there_is_no_way_back_before_the_first_swap(client):
    response = client.post("/v1/models/rollback")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "no_previous_model")


def test_a_choice_that_the_gallery_cannot_store_is_not_made(client, engine, models, monkeypatch):
    def fail(*_, **__):
        raise GalleryUnavailable("disk full", "g.heirloom", "Make room.")

    monkeypatch.setattr(engine.gallery, "set_active_model", fail)
    response = activate(client, models["student"])
    assert (response.status_code, response.json()["error"]["code"]) == (503, "gallery_unavailable")
    assert identified_by(client) == ("teacher", parts.TEACHER_THRESHOLD)


@pytest.mark.parametrize(
    "body", [{}, {"model": ""}, {"model": 7}, {"model": "x", "forced": True}, {"model": "x", "force": 1}, [], "dlib"]
)
def test_a_request_of_another_shape_is_refused(client, body):
    response = client.post("/v1/models/activate", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


def test_beyond_loopback_a_model_is_a_name_never_a_path(engine, models):
    app = create_app(engine, admission=parts.admission(), limits=ImageLimits(), paths_allowed=False)
    with parts.served(app) as url, httpx.Client(base_url=url, timeout=parts.PATIENCE) as client:
        for path in (models["student"], "onnx:/etc/passwd", "../models", "."):
            response = activate(client, path)
            assert (response.status_code, response.json()["error"]["code"]) == (403, "path_refused")
        assert names(client.get("/v1/models")) == ("teacher", None)
