"""The typed client."""

import inspect
import re
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from app.client import Client
from app.errors import ServiceRefused, ServiceUnreachable
from app.serve import bind, url_of
from tests.app import parts
from tests.app.parts import BLACK, BLUE, RED, photo
from tests.app.test_openapi import document


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
    with closing(bind("127.0.0.1", 0)) as silent, Client(url_of(silent)) as client:
        assert not client.ready()
        with pytest.raises(ServiceUnreachable, match=url_of(silent)):
            client.models()


@pytest.mark.parametrize("url", ["http://[", "localhost:8000", ""])
def test_what_is_no_address_is_told(url):
    with pytest.raises(ServiceUnreachable), Client(url) as client:
        client.models()


def test_another_program_at_the_address_is_told_apart():
    page = httpx.MockTransport(lambda _: httpx.Response(200, text="<html>"))
    with Client("http://elsewhere", transport=page) as client, pytest.raises(ServiceUnreachable, match="status 200"):
        client.models()


def test_a_collection_is_looked_after_in_python(url, tmp_path):
    path = tmp_path / "ada.png"
    path.write_bytes(photo(BLUE))
    soon = datetime(2030, 1, 1, tzinfo=UTC)
    with Client(url) as client:
        assert client.alive()
        assert client.create_collection("visitors").name == "visitors"
        visitors = client.collection("visitors")
        assert visitors.create_subject("ada é?", name="Ada", metadata={"floor": 3}, expires=soon).templates == 0
        enrolled = visitors.enrol_faces("ada é?", [path, photo(BLACK)], idempotency_key="one")
        assert visitors.enrol_faces("ada é?", [path, photo(BLACK)], idempotency_key="one") == enrolled
        assert ([face.filename for face in enrolled.faces], enrolled.rejected[0].reasons) == (["ada.png"], ["no_face"])
        assert visitors.identify(path, only_good=False, threshold=0.5).faces[0].decision.subject_id == "ada é?"
        assert visitors.verify(path, subject_id="ada é?").decision.match
        assert visitors.verify(path, reference=photo(BLUE), threshold=0.9).decision.match
        assert visitors.update_subject("ada é?", name="Ada King").expires == "2030-01-01T00:00:00+00:00"
        assert visitors.update_subject("ada é?", expires=None, metadata={}).expires is None
        assert [each.name for each in visitors.every_subject(page=1)] == ["Ada King"]

        visitors.create_subject("eve")
        merged = visitors.merge_subject("ada é?", "eve")
        assert merged.subject.templates == 1
        assert visitors.undo_merge(merged.merge) == visitors.get_subject("ada é?")
        assert visitors.export_held("ada é?").collections.keys() == {"visitors"}

        negative = visitors.add_negative("ada é?", path)
        assert visitors.list_negatives("ada é?").negatives == [negative]
        assert visitors.identify(path).faces[0].decision.subject_id is None
        assert visitors.drop_negative("ada é?", negative.negative_id).status == "dropped"
        (face,) = visitors.list_faces("ada é?").faces
        assert visitors.forget_face("ada é?", face.template_id).templates == 1
        assert visitors.forget_subject("ada é?").templates == 0
        assert client.get_collection("visitors").subjects == 1
        assert client.delete_collection("visitors").subjects == 1
        assert [each.name for each in client.list_collections().collections] == ["default"]

        assert len(client.detect(path).faces) == 1
        assert len(client.embed(path).faces[0].embedding) == parts.DIM
        verdict = client.verify_audit()
        assert verdict.ok
        assert client.verify_audit(verdict.head).ok
        last = client.list_audit(limit=1, action="delete_collection")
        assert last.entries[0].collection == "visitors"


def test_what_was_rejected_is_in_the_error(url):
    with Client(url) as client, pytest.raises(ServiceRefused) as refused:
        client.enrol_faces("red", [photo(BLACK)])
    assert refused.value.error_code == "enrolment_refused"
    assert refused.value.error_details["rejected"][0]["reasons"] == ["no_face"]


NAMES = {"healthz": "alive", "readyz": "ready", "list_models": "models"}
ARGUMENTS = {Path | bytes: b"", Sequence[Path | bytes]: [b""], str: "x", int: 1, float: 0.5}


def calls(client):
    """Call every method that asks something, with arguments of the kinds it takes."""
    for name, method in inspect.getmembers(client, inspect.ismethod):
        if name.startswith("_") or name in ("close", "collection"):
            continue
        taken = [p for p in inspect.signature(method).parameters.values() if p.default is p.empty]
        with suppress(ServiceUnreachable):
            answer = method(*(ARGUMENTS[parameter.annotation] for parameter in taken))
            if inspect.isgenerator(answer):
                list(answer)


def test_every_operation_of_the_document_has_a_method_and_every_method_asks_for_one():
    asked = set()

    def note(request):
        asked.add((request.method.lower(), request.url.path))
        return httpx.Response(200, text="no answer")

    with Client("http://service", transport=httpx.MockTransport(note)) as client:
        calls(client)
        calls(client.collection("x"))
        names = {name for name, _ in inspect.getmembers(client, inspect.ismethod)}
    documented = {}
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            documented[method, re.sub(r"{(merge|template_id|negative_id)}|{\w+}", _example, path)] = operation
    assert asked == documented.keys() - {("post", "/v1/identify")}
    for operation in documented.values():
        name = re.sub(r"_in_collection$|_v1$", "", operation["operationId"])
        assert NAMES.get(name, name) in names


def _example(placeholder):
    return "1" if placeholder[1] == "merge" else "x"
