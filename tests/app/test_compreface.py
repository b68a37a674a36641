"""Clients of CompreFace find what they know: the published SDK, and what it does not reach by hand."""

import base64

import httpx
import numpy as np
import pytest
from compreface import CompreFace
from hypothesis import given
from hypothesis import strategies as st

from app.compreface import similarity, subjects_of
from app.ratelimit import Rate, RateLimit
from app.schemas_photos import verdict
from app.security import Access
from app.service import create_app
from app.trust import Trust
from faces.image import ImageLimits
from index.errors import GalleryUnavailable
from index.gallery import Candidate, utc_now
from index.keyring import Keyring
from index.threshold import Threshold, decide
from tests.app import parts
from tests.app.parts import BLACK, BLUE, GREEN, RED, photo

UNIT = st.floats(-1, 1)


@given(low=UNIT, high=UNIT, threshold=st.floats(-0.99, 0.99))
def test_similarity_keeps_the_order_and_is_a_half_at_the_threshold(low, high, threshold):
    low, high = sorted((low, high))
    assert 0 <= similarity(low, threshold) <= similarity(high, threshold) <= 1
    assert similarity(threshold, threshold) == 0.5
    assert (similarity(-1, threshold), similarity(1, threshold)) == (0, 1)


@pytest.mark.parametrize(("negative", "named"), [(None, True), (0.79, True), (0.8, False), (0.9, False)])
def test_whom_a_negative_example_speaks_against_is_neither_named_nor_a_match(negative, named):
    threshold = Threshold(0.5, 0.01, 2, "a model", "card", "2026-11-28")
    candidate = Candidate("ada", "Ada", 0.8, 1, negative=negative)
    assert [bool(subjects_of([candidate], 0.5, 1)), verdict(0.8, threshold, negative).match] == [named] * 2
    assert decide([candidate], threshold).subject_id == ("ada" if named else None)


@pytest.fixture
def key(gallery_path):
    return parts.make_key(gallery_path, "identify", "enrol", "admin")


@pytest.fixture
def sdk(url, key):
    domain, _, port = url.rpartition(":")
    return CompreFace(domain, port), key


@pytest.fixture
def ask(client, key):
    def ask(method, path, **content):
        response = client.request(method, f"/api/v1{path}", headers={"x-api-key": key}, **content)
        return response.status_code, response.json()

    return ask


def test_the_shadow_sees_what_was_recognised(ask, engine, models):
    shadow = engine.changeover.shadow
    candidate = engine.switch.load(str(models["student"]))
    shadow.start(candidate, engine.switch.models.active, 1.0)
    status, _ = ask("POST", "/recognition/recognize", files={"file": photo(RED, GREEN)})
    assert status == 200
    parts.wait_until(lambda: shadow.watch.tally.photos == 1)
    assert (shadow.watch.tally.faces, shadow.watch.tally.alike, shadow.watch.failed) == (2, 2, 0)


def test_the_published_sdk_enrols_recognises_verifies_and_deletes(sdk):
    server, key = sdk
    service = server.init_face_recognition(key)
    people, faces = service.get_subjects(), service.get_face_collection()
    assert people.list() == {"subjects": ["green", "red"]}
    assert people.add("ada") == {"subject": "ada"}
    assert people.update("ada", "eve") == {"updated": True}

    added = faces.add(photo(BLUE), "eve")
    assert added["subject"] == "eve"
    assert added in faces.list()["faces"]
    options = {"prediction_count": 2, "limit": 0, "face_plugins": "landmarks,calculator", "status": True}
    answer = service.recognize(photo(BLUE, RED), options)
    subjects = [face["subjects"] for face in answer["result"]]
    assert [best["subject"] for best, _ in subjects] == ["eve", "red"]
    assert subjects[0][0]["similarity"] > 0.99 > 0.5 > subjects[0][1]["similarity"]
    first = answer["result"][0]
    assert first["box"].keys() == {"probability", "x_min", "y_min", "x_max", "y_max"}
    assert (len(first["landmarks"]), len(first["embedding"])) == (5, parts.DIM)
    assert answer["plugins_versions"] == {"detector": "mtcnn", "calculator": "teacher"}
    assert first["execution_time"].keys() == {"detector", "calculator"}

    (same,) = faces.verify(photo(BLUE), added["image_id"])["result"]
    (other,) = faces.verify(photo(RED), added["image_id"])["result"]
    assert same["similarity"] > 0.99 > 0.5 > other["similarity"]
    assert faces.delete(added["image_id"]) == added
    assert faces.delete_all("red") == {"deleted": 1}
    assert people.delete("eve") == {"subject": "eve"}
    assert people.delete_all() == {"deleted": 2}
    assert people.list() == {"subjects": []}


def test_the_published_sdk_compares_and_detects(sdk):
    server, key = sdk
    (verified,) = server.init_face_verification(key).verify(photo(RED), photo(GREEN, RED))["result"]
    assert verified["source_image_face"]["box"]["x_max"] == 40
    similarities = [match["similarity"] for match in verified["face_matches"]]
    assert similarities[0] > 0.99 > 0.5 > similarities[1]
    assert verified["face_matches"][0]["box"]["x_min"] == 40
    found = server.init_face_detection(key).detect(photo(RED, BLACK, BLUE), {"limit": 1})["result"]
    assert [face["box"]["x_min"] for face in found] == [0]


def test_photos_may_come_as_base64(ask):
    text = base64.b64encode(photo(RED)).decode()
    for sent in (text, f"data:image/png;base64,{text}"):
        status, answer = ask("POST", "/recognition/recognize", json={"file": sent})
        assert (status, answer["result"][0]["subjects"][0]["subject"]) == (200, "red")


def test_embeddings_are_recognised(ask, client, key):
    answer = client.post("/v1/embed", files={"image": photo(RED)}, headers={"x-api-key": key}).json()
    row = answer["faces"][0]["embedding"]
    doubled = (2 * np.array(row)).tolist()
    _, found = ask("POST", "/recognition/embeddings/recognize", json={"embeddings": [row, doubled]})
    for sent, each in zip((row, doubled), found["result"], strict=True):
        assert each["embedding"] == sent
        assert each["similarities"][0]["subject"] == "red"
        assert each["similarities"][0]["similarity"] > 0.99


def test_a_subject_is_made_by_its_first_face_and_renamed_into_another(ask):
    status, _ = ask("POST", "/recognition/faces", params={"subject": "ada"}, files={"file": photo(BLUE)})
    assert status == 201
    assert ask("PUT", "/recognition/subjects/ada", json={"subject": "red"}) == (200, {"updated": True})
    _, listed = ask("GET", "/recognition/faces", params={"subject": "red"})
    assert listed["total_elements"] == 2
    assert ask("GET", "/recognition/subjects") == (200, {"subjects": ["green", "red"]})


def test_faces_are_listed_in_pages_and_deleted_by_their_ids(ask):
    pages = [ask("GET", "/recognition/faces", params={"page": page, "size": 1})[1] for page in range(3)]
    assert [[face["subject"] for face in page["faces"]] for page in pages] == [["green"], ["red"], []]
    assert pages[0] | {"faces": []} == {
        "faces": [],
        "page_number": 0,
        "page_size": 1,
        "total_pages": 2,
        "total_elements": 2,
    }
    assert ask("POST", "/recognition/faces/delete", json=["1", "1", "99", "x"]) == (
        200,
        [{"image_id": "1", "subject": "red"}],
    )
    assert ask("DELETE", "/recognition/faces") == (200, {"deleted": 1})


def test_a_face_that_is_named_in_two_ways_is_deleted_once(ask):
    ids = ["1", "01", "1" * 5000, "2"]
    deleted = [{"image_id": "1", "subject": "red"}, {"image_id": "2", "subject": "green"}]
    assert ask("POST", "/recognition/faces/delete", json=ids) == (200, deleted)


JSON = {"content-type": "application/json"}
FILE = {"files": {"file": photo(RED)}}
REFUSED = {
    "no face": ("POST", "/recognition/recognize", {"files": {"file": photo(BLACK)}}, 400, 28),
    "no face to enrol": ("POST", "/recognition/faces?subject=ada", {"files": {"file": photo(BLACK)}}, 400, 28),
    "several faces": ("POST", "/recognition/faces?subject=ada", {"files": {"file": photo(RED, BLUE)}}, 400, 31),
    "no photo": ("POST", "/recognition/recognize", {"files": {"file": b"%PDF"}}, 400, 21),
    "no part": ("POST", "/recognition/recognize", {"files": {"image": photo(RED)}}, 400, 34),
    "no parameter": ("POST", "/recognition/faces", FILE, 400, 33),
    "a count of 0": ("POST", "/recognition/recognize?prediction_count=0", FILE, 400, 26),
    "a plugin that there is not": ("POST", "/recognition/recognize?face_plugins=age", FILE, 400, 26),
    "no base64": ("POST", "/recognition/recognize", {"json": {"file": "???"}}, 400, 26),
    "no JSON": ("POST", "/detection/detect", {"content": b"{", "headers": JSON}, 400, 26),
    "JSON without a bottom": ("POST", "/detection/detect", {"content": b"[" * 200_000, "headers": JSON}, 400, 26),
    "a Subject that is there": ("POST", "/recognition/subjects", {"json": {"subject": "red"}}, 400, 43),
    "a Subject that is not": ("DELETE", "/recognition/subjects/zoe", {}, 404, 42),
    "an image that is not": ("DELETE", "/recognition/faces/77", {}, 404, 11),
    "no id of an image": ("DELETE", "/recognition/faces/abc", {}, 404, 11),
    "a photo to download": ("GET", "/recognition/faces/1/img", {}, 404, 11),
    "an embedding of another length": (
        "POST", "/recognition/embeddings/recognize", {"json": {"embeddings": [[1.0, 0.0]]}}, 400, 37,
    ),
    "no embedding": ("POST", "/recognition/embeddings/recognize", {"json": {"embeddings": [[0.0] * 8]}}, 400, 37),
}  # fmt: skip


def test_errors_are_in_its_words(client, key):
    for name, (method, path, content, status, code) in REFUSED.items():
        headers = {"x-api-key": key} | content.get("headers", {})
        response = client.request(method, f"/api/v1{path}", **content | {"headers": headers})
        assert (response.status_code, response.json().get("code")) == (status, code), (name, response.text)
        assert response.json().keys() == {"message", "code"}, name


def counted(client, code, **options):
    """How many requests were answered with this error."""
    lines = client.get("/metrics", **options).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f'heirloom_errors_total{{code="{code}"}}'))


def test_who_asks_too_often_is_told_when_to_come_back_and_counted(engine, gallery_path):
    """At once, by a clock that stands still."""
    keyring, rarely = Keyring(engine.gallery.store), RateLimit(Rate(0.01, 1))
    access = Access(keyring, open_allowed=True, rate=rarely, now=utc_now, ticks=lambda: 0.0)
    trust = Trust(access, exposed=False)
    app = create_app(engine, admission=parts.admission(), limits=ImageLimits(), trust=trust)
    key, audits = (parts.make_key(gallery_path, scope) for scope in ("enrol", "audit"))
    with parts.served(app) as url, httpx.Client(base_url=url, timeout=parts.PATIENCE) as client:
        asked = [client.get("/api/v1/recognition/subjects", headers={"x-api-key": key}) for _ in range(2)]
        assert [(each.status_code, each.headers.get("retry-after")) for each in asked] == [(200, None), (429, "100")]
        assert counted(client, "rate_limited", headers={"x-api-key": audits}) == 1


def test_of_the_services_own_trouble_the_log_and_the_counts_tell_and_the_caller_may_come_back(
    client, gallery, monkeypatch, caplog
):
    def fail(*_):
        raise GalleryUnavailable("disk I/O error", "g.heirloom", "Check the disk.")

    monkeypatch.setattr(gallery, "subjects", fail)
    answer = client.get("/api/v1/recognition/subjects")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, 0, "1")
    assert counted(client, "gallery_unavailable") == 1
    assert "disk I/O error" in caplog.text


def test_what_the_framework_refuses_is_counted_too(client):
    client.post("/api/v1/recognition/recognize", files={"image": photo(RED)})
    assert counted(client, "invalid_request") == 1


@pytest.mark.usefixtures("key")
def test_a_key_is_asked_for_in_its_words_too(client):
    response = client.get("/api/v1/recognition/subjects")
    assert (response.status_code, response.json()["code"]) == (400, 20)
    response = client.get("/api/v1/recognition/subjects", headers={"x-api-key": "a-uuid-of-another-server"})
    assert (response.status_code, response.json()["code"]) == (404, 10)


def test_a_key_for_one_collection_is_served_from_it(client, gallery, gallery_path):
    gallery.store.create_collection("visitors", parts.SPACE)
    headers = {"x-api-key": parts.make_key(gallery_path, "identify", "enrol", collections=["visitors"])}
    files = {"file": photo(BLUE)}
    client.post("/api/v1/recognition/faces", params={"subject": "ada"}, files=files, headers=headers)
    assert client.get("/api/v1/recognition/subjects", headers=headers).json() == {"subjects": ["ada"]}
    (face,) = client.post("/api/v1/recognition/recognize", files=files, headers=headers).json()["result"]
    assert face["subjects"][0]["subject"] == "ada"
    assert [subject.subject_id for subject in gallery.subjects(9)] == ["green", "red"]
