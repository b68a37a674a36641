"""Collections: galleries of their own behind one service."""

import numpy as np
import pytest

from index.gallery import Template
from index.store import open_store
from tests.app import parts
from tests.app.parts import BLUE, RED, photo
from tests.app.test_subjects import problem


def test_a_collection_has_its_own_people(client):
    created = client.post("/v1/collections", json={"name": "visitors"})
    assert created.status_code == 201
    assert created.json() == {
        "name": "visitors",
        "space_id": parts.SPACE.space_id,
        "subjects": 0,
        "templates": 0,
        "version": 0,
    }
    of = "/v1/collections/visitors"
    client.post(f"{of}/subjects", json={"subject_id": "ada"})
    client.post(f"{of}/subjects/ada/faces", files={"images": photo(BLUE)})
    assert client.get(of).json()["templates"] == 1
    found = client.post(f"{of}/identify", files={"image": photo(BLUE, RED)}).json()
    assert [face["decision"]["subject_id"] for face in found["faces"]] == ["ada", None]
    assert found["gallery"]["subjects"] == 1
    (face,) = client.post("/v1/identify", files={"image": photo(BLUE)}).json()["faces"]
    assert face["decision"]["subject_id"] is None
    assert [each["name"] for each in client.get("/v1/collections").json()["collections"]] == ["default", "visitors"]


def test_a_deleted_collection_is_gone_with_everybody(client):
    client.post("/v1/collections", json={"name": "visitors"})
    client.post("/v1/collections/visitors/subjects", json={"subject_id": "ada"})
    receipt = client.delete("/v1/collections/visitors").json()
    assert receipt == {"name": "visitors", "subjects": 1, "templates": 0, "erased": True}
    for path in ("/v1/collections/visitors", "/v1/collections/visitors/subjects"):
        assert problem(client.get(path), 404) == "collection_unknown"
    assert problem(client.delete("/v1/collections/visitors"), 404) == "collection_unknown"


def test_a_damaged_collection_is_described_and_deleted(client, gallery_path):
    with open_store(gallery_path) as elsewhere:
        elsewhere.create_collection("visitors", parts.SPACE)
        template = Template(np.eye(parts.DIM, dtype=np.float32)[0], "a model")
        elsewhere.gallery("visitors").enrol("ada", [template], space=parts.SPACE)
        elsewhere.write(
            lambda connection: connection.execute(
                "UPDATE templates SET source = 'x' WHERE model_id = 'a model'"
            ).close()
        )
    of = "/v1/collections/visitors"
    assert problem(client.post(f"{of}/identify", files={"image": photo(RED)}), 503) == "gallery_corrupt"
    assert client.get(of).json()["templates"] == 1
    assert client.delete(of).json() == {"name": "visitors", "subjects": 1, "templates": 1, "erased": True}
    assert problem(client.get(of), 404) == "collection_unknown"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_one_that_is_deleted_meanwhile_is_unknown(client, gallery, monkeypatch, method):
    client.post("/v1/collections", json={"name": "visitors"})
    there = gallery.store.collections
    monkeypatch.setattr(gallery.store, "collections", lambda: [info for info in there() if info.name == "default"])
    assert problem(client.request(method, "/v1/collections/visitors"), 404) == "collection_unknown"


def test_the_default_collection_stays(client):
    assert problem(client.delete("/v1/collections/default"), 409) == "collection_needed"
    assert problem(client.post("/v1/collections", json={"name": "default"}), 409) == "collection_exists"
    assert problem(client.post("/v1/collections", json={"name": "../etc"}), 400) == "invalid_request"


def test_a_model_of_another_space_does_not_search_a_collection(client, gallery):
    gallery.store.create_collection("others", parts.OTHER_SPACE)
    response = client.post("/v1/collections/others/identify", files={"image": photo(RED)})
    assert problem(response, 409) == "space_mismatch"


def test_nobody_waits_for_the_thresholds_of_a_collection_after_a_swap(client, engine, models, monkeypatch):
    client.post("/v1/collections", json={"name": "visitors"})
    assert client.post("/v1/collections/visitors/identify", files={"image": photo(RED)}).status_code == 200
    assert client.post("/v1/models/activate", json={"model": str(models["student"])}).status_code == 200
    monkeypatch.setattr(engine.thresholds, "_made", None)  # whatever measures now fails
    answer = client.post("/v1/collections/visitors/identify", files={"image": photo(RED)}).json()
    assert answer["thresholds"][0]["model_id"] == parts.model_id(models["student"])


def test_a_key_for_one_collection_opens_no_other(client, gallery_path):
    client.post("/v1/collections", json={"name": "visitors"})
    headers = {"x-api-key": parts.make_key(gallery_path, "identify", "enrol", "admin", collections=["visitors"])}
    of = "/v1/collections/visitors"
    assert client.post(f"{of}/subjects", json={"subject_id": "ada"}, headers=headers).status_code == 201
    for response in (
        client.post("/v1/subjects", json={"subject_id": "ada"}, headers=headers),
        client.get("/v1/collections", headers=headers),
        client.post("/identify", files={"image": photo(RED)}, headers=headers),
        client.delete("/v1/subjects/red", headers=headers),
    ):
        assert problem(response, 403) == "not_permitted"
