"""The typed client."""

import httpx
import pytest

from app.client import Client
from app.errors import ServiceRefused, ServiceUnreachable
from tests.app import parts
from tests.app.parts import RED, photo

NOBODY = "http://127.0.0.1:9"


def test_a_photo_is_given_by_path_or_as_bytes(url, tmp_path):
    path = tmp_path / "red.png"
    path.write_bytes(photo(RED))
    with Client(url) as client:
        for given in (path, photo(RED)):
            (face,) = client.identify(given, top_k=1).faces
            assert (face.decision.subject_id, len(face.candidates)) == ("red", 1)


def test_a_swap_and_the_way_back(url, models):
    with Client(url) as client:
        assert client.models().active.name == "teacher"
        assert client.activate(str(models["student"])).active.name == "student"
        assert client.roll_back().active.name == "teacher"


def test_a_key_is_sent_and_not_shown(gallery_path, url):
    token = parts.make_key(gallery_path, "identify")
    with Client(url) as client, pytest.raises(ServiceRefused) as refused:
        client.models()
    assert (refused.value.status, refused.value.error_code) == (401, "key_required")
    with Client(url, key=token) as client:
        assert client.models().active.name == "teacher"
        with pytest.raises(ServiceRefused, match="has not the scope: 'admin'") as refused:
            client.roll_back()
    assert token not in str(refused.value)


def test_an_error_of_the_service_keeps_its_code_status_sentence_and_id(url):
    with Client(url) as client, pytest.raises(ServiceRefused, match="no previous model is loaded") as caught:
        client.roll_back()
    assert (caught.value.status, caught.value.error_code) == (409, "no_previous_model")
    assert str(caught.value).count(caught.value.remedy) == 1


def test_where_nobody_answers_the_address_is_named():
    with Client(NOBODY) as client:
        assert not client.ready()
        with pytest.raises(ServiceUnreachable, match=NOBODY):
            client.models()


@pytest.mark.parametrize("url", ["http://[", "localhost:8000", ""])
def test_what_is_no_address_is_told(url):
    with pytest.raises(ServiceUnreachable), Client(url) as client:
        client.models()


def test_another_program_at_the_address_is_told_apart():
    page = httpx.MockTransport(lambda _: httpx.Response(200, text="<html>"))
    with Client("http://elsewhere", transport=page) as client, pytest.raises(ServiceUnreachable, match="status 200"):
        client.models()
