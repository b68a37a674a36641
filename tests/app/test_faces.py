"""Photos are enrolled, sent back with reasons, listed and deleted."""

import httpx
import pytest

from app.engine import open_engine
from app.service import create_app
from faces.image import ImageLimits
from index.gallery import open_gallery
from tests.app import parts
from tests.app.parts import BLACK, BLUE, GREEN, RED, photo
from tests.app.test_subjects import problem

VIOLET = (200, 10, 250)


@pytest.fixture
def ada(client):
    client.post("/v1/subjects", json={"subject_id": "ada", "name": "Ada"})
    return "/v1/subjects/ada/faces"


def files(*photos):
    return [("images", (f"{number}.png", data)) for number, data in enumerate(photos)]


def whose(client, colour):
    (face,) = client.post("/identify", files={"image": photo(colour)}).json()["faces"]
    return face["decision"]["subject_id"]


def test_an_enrolled_photo_is_recognised_at_once_and_durable(client, ada, gallery_path):
    response = client.post(ada, files=files(photo(BLUE)))
    assert response.status_code == 201
    (face,) = response.json()["faces"]
    assert (face["index"], face["filename"], response.json()["rejected"]) == (0, "0.png", [])
    assert whose(client, BLUE) == "ada"
    with open_gallery(gallery_path) as copy:
        assert [str(template.template_id) for template in copy.templates("ada")] == [face["template_id"]]
    (listed,) = client.get(ada).json()["faces"]
    assert listed["template_id"] == face["template_id"]
    assert client.get("/v1/subjects/ada").json()["templates"] == 1


def test_of_many_photos_the_good_are_enrolled_and_the_others_named_with_reasons(client, ada):
    answer = client.post(
        ada, files=files(photo(BLACK), photo(BLUE), b"no photo", photo(BLUE)[:60], photo(BLUE, GREEN), photo(VIOLET))
    ).json()
    assert [(face["index"], face["filename"]) for face in answer["faces"]] == [(1, "1.png"), (5, "5.png")]
    assert [(photo["index"], photo["reasons"]) for photo in answer["rejected"]] == [
        (0, ["no_face"]),
        (2, ["image_type_refused"]),
        (3, ["image_unreadable"]),
        (4, ["several_faces"]),
    ]


def test_where_none_can_be_enrolled_the_reasons_are_in_the_error_and_nothing_changed(client, ada):
    response = client.post(ada, files=files(photo(BLACK), b"x"))
    assert problem(response, 422) == "enrolment_refused"
    assert response.json()["error"]["details"]["rejected"] == [
        {"index": 0, "filename": "0.png", "reasons": ["no_face"]},
        {"index": 1, "filename": "1.png", "reasons": ["image_type_refused"]},
    ]
    assert client.get(ada).json()["faces"] == []


def test_what_speaks_against_a_photo_is_told(client, ada):
    assert "closer_to_another_subject" in flags(client.post(ada, files=files(photo(RED))))
    assert "near_duplicate" in flags(client.post(ada, files=files(photo(RED, side=60))))
    assert "duplicate" in flags(client.post(ada, files=files(photo(RED))))
    assert {"small", "blurred"} <= set(client.get(ada).json()["faces"][0]["reasons"])


def flags(response):
    (face,) = response.json()["faces"]
    return face["flagged"]


def test_a_strict_service_refuses_what_another_flags(settings, monkeypatch):
    monkeypatch.setattr("app.engine.open_detector", lambda **_: parts.SquareDetector())
    with (
        open_engine(settings.model_copy(update={"guard": "strict"})) as engine,
        parts.served(create_app(engine, admission=parts.admission(), limits=ImageLimits())) as url,
    ):
        response = httpx.post(
            f"{url}/v1/subjects/green/faces", files=files(photo(RED, side=200)), timeout=parts.PATIENCE
        )
    (rejected,) = response.json()["error"]["details"]["rejected"]
    assert rejected["reasons"] == ["blurred", "closer_to_another_subject"]


def test_up_to_twenty_photos_are_taken_in_one_request(client, ada):
    assert len(client.post(ada, files=files(*[photo(BLUE)] * 20)).json()["faces"]) == 20
    assert problem(client.post(ada, files=files(*[photo(BLUE)] * 21)), 400) == "invalid_request"
    assert problem(client.post(ada), 400) == "invalid_request"


def test_nobody_is_made_by_enrolling(client):
    response = client.post("/v1/subjects/zoe/faces", files=files(photo(BLUE)))
    assert problem(response, 404) == "subject_unknown"


def test_a_request_that_is_sent_again_enrols_once(client, ada):
    key = {"idempotency-key": "one"}
    first = client.post(ada, files=files(photo(BLUE)), headers=key)
    again = client.post(ada, files=files(photo(BLUE)), headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert len(client.get(ada).json()["faces"]) == 1
    other = client.post(ada, files=files(photo(VIOLET)), headers=key)
    assert problem(other, 422) == "idempotency_key_reused"


def test_the_answer_that_is_kept_for_a_repeated_request_goes_with_the_subject(client, ada, gallery):
    client.post(ada, files=files(photo(BLUE)), headers={"idempotency-key": "one"})
    count = "SELECT count(*) FROM idempotency"
    assert gallery.store.read(lambda connection: connection.execute(count).fetchone()) == (1,)
    client.delete("/v1/subjects/ada")
    assert gallery.store.read(lambda connection: connection.execute(count).fetchone()) == (0,)


def test_one_face_is_erased_and_the_others_stay(client, ada):
    one, two = client.post(ada, files=files(photo(BLUE), photo(VIOLET))).json()["faces"]
    receipt = client.delete(f"{ada}/{one['template_id']}").json()
    assert (receipt["subject_id"], receipt["templates"]) == ("ada", 1)
    assert [face["template_id"] for face in client.get(ada).json()["faces"]] == [two["template_id"]]
    assert problem(client.delete(f"{ada}/{one['template_id']}"), 404) == "template_unknown"
    assert problem(client.delete(f"{ada}/1"), 404) == "template_unknown"  # it is Red's


def test_this_is_not_that_person(client):
    made = client.post("/v1/subjects/red/negatives", files={"image": photo(RED)})
    assert made.status_code == 201
    assert whose(client, RED) is None
    listed = client.get("/v1/subjects/red/negatives").json()["negatives"]
    assert listed == [made.json()]
    path = f"/v1/subjects/red/negatives/{made.json()['negative_id']}"
    assert problem(client.delete(path.replace("red", "green")), 404) == "negative_unknown"
    assert client.delete(path).status_code == 200
    assert whose(client, RED) == "red"
    assert problem(client.post("/v1/subjects/red/negatives", files={"image": photo(BLACK)}), 422) == "face_not_found"
