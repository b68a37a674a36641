"""Subjects over HTTP: created, listed, changed, merged, forgotten."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from index.backup import back_up
from tests.app.parts import PATIENCE, RED, photo

ADA = {
    "subject_id": "ada",
    "name": "Ada Lovelace",
    "external_id": "E-7",
    "metadata": {"floor": 3, "tags": ["a", "ü"]},
    "consent": "form 117",
    "purpose": "door",
    "expires": "2030-01-01T00:00:00Z",
}


def problem(response, status):
    assert response.status_code == status, response.text
    return response.json()["error"]["code"]


@pytest.mark.parametrize("prefix", ["/v1", "/v1/collections/default"])
def test_what_was_created_is_read_as_it_was_given(client, prefix):
    created = client.post(f"{prefix}/subjects", json=ADA)
    assert created.status_code == 201
    assert created.json() == client.get("/v1/subjects/ada").json()
    assert created.json() | {"created": ""} == ADA | {
        "expires": "2030-01-01T00:00:00+00:00",
        "templates": 0,
        "created": "",
    }
    assert problem(client.post("/v1/subjects", json=ADA), 409) == "subject_exists"


def test_without_a_name_the_id_is_shown(client):
    assert client.post("/v1/subjects", json={"subject_id": "eve"}).json()["name"] == "eve"


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({}, 400, "invalid_request"),
        ({"subject_id": ""}, 400, "invalid_request"),
        ({"subject_id": "a/b"}, 400, "invalid_request"),
        ({"subject_id": ".."}, 400, "invalid_request"),
        ({"subject_id": "ada", "nmae": "Ada"}, 400, "invalid_request"),
        ({"subject_id": "ada", "expires": "2030-01-01T00:00:00"}, 400, "invalid_request"),
        ({"subject_id": " ada"}, 422, "subject_invalid"),
        ({"subject_id": "ada", "metadata": {"x": "y" * 100_000}}, 422, "subject_invalid"),
    ],
)
def test_what_cannot_be_stored_is_refused(client, asked, status, code):
    assert problem(client.post("/v1/subjects", json=asked), status) == code


def test_what_is_not_given_stays(client):
    client.post("/v1/subjects", json=ADA)
    before = client.get("/v1/subjects/ada").json()
    renamed = client.patch("/v1/subjects/ada", json={"name": "Ada King"})
    assert renamed.json() == before | {"name": "Ada King"}
    moved = client.patch("/v1/subjects/ada", json={"metadata": {"floor": 4}})
    assert moved.json() == before | {"name": "Ada King", "metadata": {"floor": 4}}
    assert client.patch("/v1/subjects/ada", json={"expires": None}).json()["expires"] is None
    assert client.patch("/v1/subjects/ada", json={}).json() == client.get("/v1/subjects/ada").json()
    assert problem(client.patch("/v1/subjects/zoe", json={"name": "Zoe"}), 404) == "subject_unknown"


def test_changes_sent_at_once_are_both_kept(client, gallery, monkeypatch):
    both, update = threading.Barrier(2, timeout=PATIENCE), gallery.update_subject

    def together(*arguments, **options):
        both.wait()
        return update(*arguments, **options)

    monkeypatch.setattr(gallery, "update_subject", together)
    with ThreadPoolExecutor(2) as pool:
        given = ({"consent": "form 117"}, {"purpose": "door"})
        answers = list(pool.map(lambda change: client.patch("/v1/subjects/red", json=change), given))
    assert [answer.status_code for answer in answers] == [200, 200]
    subject = client.get("/v1/subjects/red").json()
    assert (subject["consent"], subject["purpose"]) == ("form 117", "door")


def pages(client, **query):
    """The ids on each page."""
    cursor, found = None, []
    while True:
        answer = client.get("/v1/subjects", params=query | ({"cursor": cursor} if cursor else {})).json()
        found.append([subject["subject_id"] for subject in answer["subjects"]])
        cursor = answer["next_cursor"]
        if cursor is None:
            return found


def test_pages_hold_each_subject_once_in_order(client):
    for subject_id in ("ada", "bob", "ünal"):
        client.post("/v1/subjects", json={"subject_id": subject_id})
    assert pages(client, limit=2) == [["ada", "bob"], ["green", "red"], ["ünal"]]
    assert pages(client, limit=5) == [["ada", "bob", "green", "red", "ünal"]]
    assert pages(client) == pages(client, limit=5)


def test_a_cursor_is_for_the_list_it_came_with(client):
    cursor = client.get("/v1/subjects", params={"limit": 1}).json()["next_cursor"]
    client.post("/v1/collections", json={"name": "other"})
    tampered = cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")
    for path, given in (
        ("/v1/collections/other/subjects", cursor),
        ("/v1/audit", cursor),
        ("/v1/subjects", tampered),
        ("/v1/subjects", "nonsense"),
        ("/v1/subjects", "ü"),
    ):
        assert problem(client.get(path, params={"cursor": given}), 400) == "cursor_invalid"
    assert problem(client.get("/v1/subjects", params={"limit": 0}), 400) == "invalid_request"


def test_a_forgotten_subject_is_in_no_answer_and_there_is_a_receipt(client):
    response = client.delete("/v1/subjects/red")
    assert response.status_code == 200
    receipt = response.json()
    assert (receipt["subject_id"], receipt["templates"]) == ("red", 1)
    assert receipt["hidden_at"] <= receipt["erased_at"]
    assert receipt["left_in"] == []
    (face,) = client.post("/identify", files={"image": photo(RED)}).json()["faces"]
    assert "red" not in {candidate["subject_id"] for candidate in face["candidates"]}
    for response in (client.get("/v1/subjects/red"), client.delete("/v1/subjects/red")):
        assert problem(response, 404) == "subject_unknown"


def test_a_receipt_names_the_backup_that_still_has_somebody_and_no_folder(client, gallery_path):
    taken = back_up(gallery_path, None, datetime(2026, 11, 28, tzinfo=UTC)).path
    taken.write_bytes(taken.read_bytes()[:5000])
    receipt = client.delete("/v1/subjects/red").json()
    assert receipt["erased_at"] is None
    (fault,) = receipt["left_in"]
    assert fault.startswith(f"{taken.name}: ")
    assert str(taken.parent) not in fault


def test_two_subjects_become_one_and_two_again(client):
    merged = client.post("/v1/subjects/red/merge", json={"into": "green"}).json()
    assert (merged["subject"]["subject_id"], merged["subject"]["templates"]) == ("green", 2)
    (face,) = client.post("/identify", files={"image": photo(RED)}).json()["faces"]
    assert face["decision"]["subject_id"] == "green"

    back = client.post(f"/v1/merges/{merged['merge']}/undo")
    assert (back.json()["subject_id"], back.json()["name"], back.json()["templates"]) == ("red", "Red", 1)
    assert problem(client.post(f"/v1/merges/{merged['merge']}/undo"), 404) == "merge_unknown"
    assert problem(client.post("/v1/subjects/red/merge", json={"into": "red"}), 409) == "merge_impossible"
    assert problem(client.post("/v1/subjects/red/merge", json={"into": "zoe"}), 404) == "subject_unknown"


def test_a_person_is_told_all_that_is_held(client):
    client.post("/v1/collections", json={"name": "other"})
    client.post("/v1/collections/other/subjects", json={"subject_id": "red", "purpose": "elsewhere"})
    client.patch("/v1/subjects/red", json={"consent": "form 1"})
    held = client.get("/v1/subjects/red/export").json()
    assert held["subject_id"] == "red"
    assert held["collections"].keys() == {"default"}
    assert held["collections"]["default"]["consent"] == "form 1"
    (template,) = held["collections"]["default"]["templates"]
    assert "embedding" not in template
    assert [entry["action"] for entry in held["log"]] == ["enrol", "update_subject"]

    (whole,) = client.get("/v1/subjects/red/export", params={"embeddings": True}).json()["collections"].values()
    assert len(whole["templates"][0]["embedding"]) == 8
    assert problem(client.get("/v1/collections/other/subjects/green/export"), 404) == "subject_unknown"


def test_an_export_does_not_tell_whether_somebody_is_in_another_collection(client):
    client.post("/v1/collections", json={"name": "other"})
    client.post("/v1/collections/other/subjects", json={"subject_id": "ada"})
    answers = [client.get(f"/v1/subjects/{each}/export") for each in ("ada", "eve")]
    assert [problem(each, 404) for each in answers] == ["subject_unknown"] * 2
    elsewhere, nowhere = (each.json()["error"]["message"].replace("ada", "eve") for each in answers)
    assert elsewhere == nowhere
