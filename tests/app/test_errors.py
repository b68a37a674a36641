"""The envelope for what no route answers, and the request's id."""

import logging

import pytest

from app.envelope import status_of
from app.logs import TextLines
from faces.errors import FacesError, ImageTooLarge, ImageUnreadable
from index.errors import GalleryUnavailable


def test_an_unknown_address(client):
    response = client.get("/nowhere")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "route_unknown")


def test_a_method_that_is_not_for_the_address(client):
    response = client.get("/identify")
    assert (response.status_code, response.json()["error"]["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    assert response.json()["error"]["message"] == "/identify is not for: 'GET'. It is for POST."


@pytest.fixture
def broken(engine, monkeypatch):
    def fail(*_):
        raise RuntimeError("a secret inside")

    monkeypatch.setattr(engine.gallery, "stats", fail)


@pytest.mark.usefixtures("broken")
def test_an_unforeseen_error_is_500_and_its_kind_and_place_are_in_the_log(client, caplog):
    with caplog.at_level(logging.ERROR, "app.requests"):
        response = client.get("/readyz", headers={"x-request-id": "find-me"})
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert response.json()["request_id"] == response.headers["x-request-id"] == "find-me"
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    (record,) = caplog.records
    assert record.fields == {"request_id": "find-me"}
    assert "RuntimeError" in TextLines().format(record)
    assert "secret" not in TextLines().format(record)


@pytest.mark.parametrize("path", ["/v1/subjects", "/api/v1/recognition/subjects"])
def test_where_the_store_lies_is_told_to_the_log_alone(client, engine, monkeypatch, caplog, path):
    def fail(*_):
        raise GalleryUnavailable("database or disk is full", str(engine.gallery.path), "Make room.")

    monkeypatch.setattr(engine.gallery, "subjects", fail)
    response = client.get(path)
    assert response.status_code == 503
    assert "'colours.heirloom'. Make room." in response.text
    assert str(engine.gallery.path.parent) not in response.text
    assert str(engine.gallery.path) in caplog.text


def test_the_callers_request_id_is_echoed(client):
    response = client.get("/healthz", headers={"x-request-id": "Order-7.b_2"})
    assert response.headers["x-request-id"] == "Order-7.b_2"


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "a\tb", "<script>"])
def test_an_id_that_is_no_plain_word_is_replaced(client, given):
    response = client.get("/healthz", headers={"x-request-id": given})
    assert response.headers["x-request-id"] not in ("", given)


def test_every_request_has_an_id_of_its_own(client):
    ids = {client.get("/healthz").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_the_id_in_the_answer_is_the_one_in_the_header(client):
    response = client.post("/v1/models/rollback")
    assert response.json()["request_id"] == response.headers["x-request-id"]


def test_an_error_has_the_status_of_its_nearest_base():
    class Unlisted(ImageUnreadable):
        pass

    assert status_of(ImageTooLarge("a", 1, "b")) == 413
    assert status_of(Unlisted("a", 1, "b")) == 422
    assert status_of(FacesError("a", 1, "b")) == 500
