"""Whatever is done leaves a row in the audit log: who, in which request, to whom; no name, image or vector."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app.trail import Trail
from index import audit
from index.errors import GalleryUnavailable
from index.gallery import By
from tests.app import parts
from tests.app.parts import BLACK, BLUE, RED, photo


@pytest.fixture
def rows(gallery):
    def rows(*actions):
        """Those with these actions, oldest first."""
        gallery.store.write(lambda _: None)  # whatever was on its way is there now
        found = gallery.store.read(lambda connection: audit.entries(connection, 1000))
        return [entry for entry in reversed(found) if entry.action in actions]

    return rows


def test_a_search_names_the_key_the_request_the_model_and_whom_it_found(client, gallery, gallery_path, models, rows):
    token = parts.make_key(gallery_path, "identify")
    headers = {"x-api-key": token, "x-request-id": "mine"}
    client.post("/identify", files={"image": photo(RED, BLACK, BLUE)}, headers=headers)
    (row,) = rows("identify")
    assert row.actor == token.split("_")[1]
    assert row.subject == gallery.store.digest_of("red")
    assert row.body == {
        "request_id": "mine",
        "model_id": parts.model_id(models["teacher"]),
        "faces": 2,
        "searched": 2,
        "recognised": 1,
    }


def test_a_search_that_finds_nobody_is_recorded_too(client, rows):
    client.post("/identify", files={"image": photo(BLUE)})
    (row,) = rows("identify")
    assert (row.actor, row.subject, row.body["recognised"]) == ("anyone", "", 0)


def test_what_changes_the_gallery_is_recorded_with_its_request(client, gallery, rows):
    ask = {"headers": {"x-request-id": "mine"}}
    client.post("/v1/subjects", json={"subject_id": "ada", "name": "Ada Lovelace"}, **ask)
    client.post("/v1/subjects/ada/faces", files={"images": ("Ada Lovelace.png", photo(BLUE))}, **ask)
    client.delete("/v1/subjects/ada", **ask)
    found = rows("put_subject", "enrol", "enrol_photos", "forget")[2:]  # the first two enrolled red and green
    assert [row.action for row in found] == ["put_subject", "enrol", "enrol_photos", "forget"]
    assert {row.body["request_id"] for row in found} == {"mine"}
    assert {row.subject for row in found} == {gallery.store.digest_of("ada")}
    assert "Ada" not in json.dumps([row.body for row in found])


def test_the_log_is_listed_in_pages_and_its_chain_is_checked(client, monkeypatch):
    monkeypatch.setattr("app.trail._SOON", parts.PATIENCE)  # however slow the disk is
    for _ in range(3):
        client.post("/identify", files={"image": photo(RED)})
    first = client.get("/v1/audit", params={"limit": 2, "subject_id": "red", "action": "identify"}).json()
    assert len(first["entries"]) == 2
    query = {"limit": 2, "subject_id": "red", "action": "identify", "cursor": first["next_cursor"]}
    last = client.get("/v1/audit", params=query).json()
    assert (len(last["entries"]), last["next_cursor"]) == (1, None)
    assert client.get("/v1/audit", params=query | {"action": "enrol"}).status_code == 400

    verdict = client.get("/v1/audit/verify").json()
    assert (verdict["ok"], verdict["problems"]) == (True, [])
    assert client.get("/v1/audit/verify", params={"head": verdict["head"]}).json()["ok"]
    forged = f"{verdict['head'].split(':')[0]}:{'0' * 64}"
    assert not client.get("/v1/audit/verify", params={"head": forged}).json()["ok"]
    assert client.get("/v1/audit/verify", params={"head": "nonsense"}).status_code == 422


def test_a_full_disk_stops_enrolment_and_no_search(client, gallery, monkeypatch, caplog):
    def full(_):
        raise GalleryUnavailable("database or disk is full", "colours.heirloom", "Make room.")

    submit = gallery.store._writer.submit
    monkeypatch.setattr(gallery.store._writer, "submit", lambda _, **how: submit(full, **how))
    answer = client.post("/identify", files={"image": photo(RED)})
    assert answer.json()["faces"][0]["decision"]["subject_id"] == "red"
    refused = client.post("/v1/subjects/red/faces", files={"images": photo(BLUE)})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "gallery_unavailable")
    parts.wait_until(lambda: "not in the audit log: identify" in caplog.text)


def test_whoever_brings_more_rows_than_may_be_on_their_way_waits(gallery):
    trail = Trail(gallery.store, outstanding=1)
    for number in range(5):
        trail.note(By("ada", str(number)), "test", "default", {})
    assert gallery.store.audit("ada", "last") > 5
    found = gallery.store.read(lambda connection: audit.entries(connection, 10, action="test"))
    assert [entry.body["request_id"] for entry in reversed(found)] == ["0", "1", "2", "3", "4"]


def test_enrolments_that_wait_for_the_disk_keep_no_worker_from_a_search(url, gallery):
    """There is one worker, and the store's writer is held: both enrolments wait, and whoever asks is answered."""
    inside, go_on = threading.Event(), threading.Event()

    def hold(_connection):
        inside.set()
        assert go_on.wait(parts.PATIENCE)

    def enrol(subject_id):
        files = {"images": photo(BLUE)}
        return httpx.post(f"{url}/v1/subjects/{subject_id}/faces", files=files, timeout=parts.PATIENCE)

    httpx.post(f"{url}/v1/subjects", json={"subject_id": "ada"}, timeout=parts.PATIENCE).raise_for_status()
    gallery.store._writer.submit_alone(hold)
    assert inside.wait(parts.PATIENCE)
    with ThreadPoolExecutor(2) as pool:
        enrolled = [pool.submit(enrol, subject_id) for subject_id in ("ada", "red")]
        try:
            parts.wait_until(lambda: gallery.store._writer._tasks.qsize() == 2)
            assert httpx.post(f"{url}/identify", files={"image": photo(RED)}, timeout=parts.PATIENCE).status_code == 200
            assert not any(each.done() for each in enrolled)
        finally:
            go_on.set()
        assert [each.result(parts.PATIENCE).status_code for each in enrolled] == [201, 201]
