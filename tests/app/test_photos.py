"""verify, detect and embed; and the thresholds that a request may ask for."""

import numpy as np
import pytest

from tests.app import parts
from tests.app.parts import BLACK, BLUE, GREEN, RED, photo
from tests.app.test_subjects import problem


def test_two_photos_of_one_person_match(client):
    same = client.post("/v1/verify", files={"image": photo(BLUE), "reference": photo(BLUE, side=60)}).json()
    assert (same["decision"]["match"], same["subject_id"]) == (True, None)
    assert same["score"] == pytest.approx(1, abs=1e-3)
    assert same["other"]["box"]["x_max"] == 60
    other = client.post("/v1/verify", files={"image": photo(BLUE), "reference": photo(RED)}).json()
    assert other["decision"] | {"match": False} == other["decision"]
    assert other["score"] < other["decision"]["threshold"] == parts.TEACHER_THRESHOLD


def test_a_photo_is_compared_with_a_subject(client):
    for colour, match in ((RED, True), (GREEN, False)):
        answer = client.post("/v1/verify", files={"image": photo(colour)}, data={"subject_id": "red"}).json()
        assert (answer["decision"]["match"], answer["subject_id"], answer["template_id"]) == (match, "red", "1")
    client.post("/v1/subjects/red/negatives", files={"image": photo(RED)})
    answer = client.post("/v1/verify", files={"image": photo(RED)}, data={"subject_id": "red"}).json()
    assert not answer["decision"]["match"]


def test_what_cannot_be_compared_is_told(client):
    def ask(data=None, **photos):
        return client.post("/v1/verify", files=photos, data=data or {})

    assert problem(ask(image=photo(RED)), 400) == "invalid_request"
    assert problem(ask({"subject_id": "red"}, image=photo(RED), reference=photo(RED)), 400) == "invalid_request"
    assert problem(ask({"subject_id": "zoe"}, image=photo(RED)), 404) == "subject_unknown"
    client.post("/v1/subjects", json={"subject_id": "zoe"})
    assert problem(ask({"subject_id": "zoe"}, image=photo(RED)), 404) == "subject_unknown"
    nobody = ask(image=photo(RED), reference=photo(BLACK))
    assert problem(nobody, 422) == "face_not_found"
    assert nobody.json()["error"]["details"]["value"] == "reference"


def test_faces_are_found_without_being_searched(client):
    answer = client.post("/v1/detect", files={"image": photo(RED, BLACK, BLUE)}).json()
    assert [face["box"]["x_min"] for face in answer["faces"]] == [0, 80]
    assert answer["image"] == {"width": 120, "height": 40}
    assert client.post("/v1/detect", files={"image": photo(BLACK)}).json()["faces"] == []


def test_embeddings_are_those_of_the_model_and_take_a_key_for_them(client, gallery_path):
    answer = client.post("/v1/embed", files={"image": photo(RED, GREEN)}).json()
    red, green = (np.array(face["embedding"]) for face in answer["faces"])
    assert np.linalg.norm(red) == pytest.approx(1, abs=1e-5)
    other = client.post("/v1/verify", files={"image": photo(RED), "reference": photo(GREEN)}).json()
    assert red @ green == pytest.approx(other["score"], abs=1e-5)
    headers = {"x-api-key": parts.make_key(gallery_path, "identify", "enrol", "audit")}
    assert problem(client.post("/v1/embed", files={"image": photo(RED)}, headers=headers), 403) == "not_permitted"


def test_a_request_may_bring_its_own_threshold_or_fpir(client):
    def decision(**query):
        answer = client.post("/identify", files={"image": photo(RED)}, params=query).json()
        return answer["faces"][0]["decision"]

    assert decision()["fpir"] == 0.01
    chosen = decision(threshold=-1)
    assert (chosen["threshold"], chosen["fpir"], chosen["calibrated_on"]) == (-1, None, "user")
    assert decision(threshold=0.9999999)["subject_id"] in (None, "red")
    assert decision(fpir=0.01) == decision()
    unknown = client.post("/identify", files={"image": photo(RED)}, params={"fpir": 0.5})
    assert problem(unknown, 422) == "not_calibrated"
    both = client.post("/identify", files={"image": photo(RED)}, params={"fpir": 0.1, "threshold": 0.5})
    assert problem(both, 400) == "invalid_request"


def test_every_answer_has_the_thresholds_that_are_known(client, models):
    answer = client.post("/identify", files={"image": photo(BLACK)}).json()
    (known,) = answer["thresholds"]  # the card knows this one, and two people tell nothing
    assert (known["fpir"], known["threshold"]) == (0.01, parts.TEACHER_THRESHOLD)
    assert known["model_id"] == parts.model_id(models["teacher"])


def test_a_poor_face_is_not_searched_where_only_good_ones_are_wanted(client):
    (searched,) = client.post("/identify", files={"image": photo(RED)}).json()["faces"]
    assert (searched["not_searched"], searched["quality"]["ok"]) == ([], False)
    (face,) = client.post("/identify", files={"image": photo(RED)}, params={"only_good": True}).json()["faces"]
    assert face["not_searched"] == face["quality"]["reasons"] == ["small", "blurred"]
    assert (face["candidates"], face["decision"]["subject_id"]) == ([], None)
