"""What the service counts of itself."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.engine import open_engine
from app.metrics import CONTENT_TYPE, Meters
from app.service import create_app
from app.trust import trust_of
from faces.image import ImageLimits
from index.contract import Candidate
from index.errors import GalleryUnavailable
from index.identify import FoundFace
from index.keyring import Keyring
from index.threshold import Decision
from tests.app import parts
from tests.app.parts import BLACK, BLUE, RED, TEACHER_THRESHOLD, photo
from tests.app.programs import serving


@pytest.fixture
def meters():
    return Meters()


@pytest.fixture
def engine(settings, meters, monkeypatch):
    """The engine of the other tests, with these meters."""
    monkeypatch.setattr("app.engine.open_detector", lambda **_: parts.SquareDetector())
    with open_engine(settings, meters) as opened:
        yield opened


@pytest.fixture
def url(engine, settings, meters):
    trust = trust_of(settings.model_copy(update={"rate": 0}), Keyring(engine.gallery.store), loopback=True, name="here")
    app = create_app(
        engine, admission=parts.admission(room=1), limits=ImageLimits(), trust=trust, paths_allowed=True, meters=meters
    )
    with parts.served(app) as served:
        yield served


@pytest.fixture
def read(client):
    """The value of a sample; 0 where there is none."""

    def read(name, /, **labels):
        for family in text_string_to_metric_families(client.get("/metrics").text):
            for sample in family.samples:
                if (sample.name, sample.labels) == (name, labels):
                    return sample.value
        return 0

    return read


def identify(client, *colours):
    return client.post("/identify", files={"image": photo(*colours)})


def test_it_is_text_that_prometheus_reads(client):
    answer = client.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, CONTENT_TYPE)
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"heirloom_build_info", "heirloom_http_requests", "process_resident_memory_bytes"} <= families
    assert "_created" not in answer.text


def test_requests_are_counted_by_what_the_api_calls_their_address(client, read):
    identify(client, RED)
    client.get("/people/zoe")
    assert read("heirloom_http_requests_total", method="POST", route="/identify", status="200") == 1
    assert read("heirloom_http_requests_total", method="GET", route="other", status="404") == 1
    assert read("heirloom_http_request_seconds_count", route="/identify") == 1
    assert read("heirloom_http_requests_in_flight") == 1  # the one that asks


def test_an_address_is_counted_with_its_prefix_and_without_what_stands_in_it(client, read):
    for path in ("/v1/subjects/zoe", "/v1/collections/visitors/subjects/zoe", "/api/v1/recognition/faces/zoe/img"):
        client.get(path)
    for route in (
        "/v1/subjects/{subject_id}",
        "/v1/collections/{collection}/subjects/{subject_id}",
        "/api/v1/recognition/faces/{image_id}/img",
    ):
        assert read("heirloom_http_requests_total", method="GET", route=route, status="404") == 1
    client.put("/v1/subjects/zoe")
    assert read("heirloom_http_requests_total", method="PUT", route="/v1/subjects/{subject_id}", status="405") == 1


def test_whatever_callers_send_there_are_no_more_series(client):
    def series(numbers):
        for number in numbers:
            client.request(
                "GET",
                f"/v1/collections/zoe-{number}/subjects/zoe-{number}?name=zoe",
                headers={"x-request-id": f"zoe-{number}"},
            )
            client.request(f"BREW{number}", "/identify")
        client.get("/metrics")  # itself a series
        return client.get("/metrics").text

    first, second = series(range(3)), series(range(3, 12))
    assert first.count("\n") == second.count("\n")
    assert "zoe" not in second
    assert "BREW" not in second


def test_errors_are_counted_by_their_code(client, read, held):
    client.post("/identify", files={"image": b"%PDF"})
    client.get("/nowhere")
    with httpx.Client(base_url=client.base_url, headers={"host": "evil.test"}, timeout=parts.PATIENCE) as stranger:
        stranger.get("/healthz")
    for code in ("image_type_refused", "route_unknown", "host_refused"):
        assert read("heirloom_errors_total", code=code) == 1
    held.go_on.set()


def test_an_error_that_has_not_come_yet_is_counted_too(client):
    """So that the first one of a day is a rise."""
    told = client.get("/metrics").text
    for code in ("internal_error", "overloaded", "worker_stuck", "gallery_corrupt", "image_unreadable"):
        assert f'heirloom_errors_total{{code="{code}"}} 0.0' in told


def test_who_found_no_room_is_counted(url, client, read, held):
    with parts.asking(url, photo(RED)) as asked:
        assert held.inside.wait(parts.PATIENCE)
        assert identify(client, RED).status_code == 503
        assert read("heirloom_errors_total", code="overloaded") == 1
        assert read("heirloom_queue_items", stage="look") == 0
        held.go_on.set()
        assert asked.result().status_code == 200


def test_each_stage_is_timed_and_each_run_counted(client, read):
    identify(client, RED)
    for stage in ("wait", "decode", "detect", "quality", "align", "embed", "search"):
        assert read("heirloom_stage_seconds_count", stage=stage) == 1
    for stage in ("look", "embed", "search"):
        assert read("heirloom_batch_items_sum", stage=stage) == 1


def test_decisions_and_scores_are_told_apart_by_model(client, read, models):
    teacher = parts.model_id(models["teacher"])
    identify(client, RED, BLUE)
    assert read("heirloom_decisions_total", model_id=teacher, decision="match") == 1
    assert read("heirloom_decisions_total", model_id=teacher, decision="unknown") == 1
    assert read("heirloom_best_score_count", model_id=teacher) == 2
    assert read("heirloom_photo_faces_sum") == 2
    identify(client, BLACK)
    assert read("heirloom_photo_faces_bucket", le="0.0") == 1


def test_what_clients_of_compreface_ask_counts_too(client, read, models):
    assert client.post("/api/v1/recognition/recognize", files={"file": photo(RED)}).status_code == 200
    assert read("heirloom_decisions_total", model_id=parts.model_id(models["teacher"]), decision="match") == 1
    assert read("heirloom_stage_seconds_count", stage="embed") == 1


def test_the_margin_is_the_score_less_the_threshold(meters, engine):
    threshold = engine.switch.models.active.threshold
    candidate = Candidate("red", "Red", score=TEACHER_THRESHOLD + 0.12, template_id=1)
    meters.decision("m", FoundFace(None, None, (candidate,), Decision("red", threshold)))
    at_most = [
        meters.registry.get_sample_value("heirloom_score_margin_bucket", {"model_id": "m", "le": le})
        for le in ("0.1", "0.15")
    ]
    assert at_most == [0, 1]


def test_a_face_without_a_candidate_has_no_score(meters, engine):
    meters.decision("m", FoundFace(None, None, (), Decision(None, engine.switch.models.active.threshold)))
    assert meters.registry.get_sample_value("heirloom_decisions_total", {"model_id": "m", "decision": "unknown"}) == 1
    assert meters.registry.get_sample_value("heirloom_best_score_count", {"model_id": "m"}) is None


def test_models_without_end_share_their_series(meters, engine):
    face = FoundFace(None, None, (), Decision(None, engine.switch.models.active.threshold))
    for number in range(40):
        meters.decision(f"m{number}", face)
    shared = {"model_id": "other", "decision": "unknown"}
    assert meters.registry.get_sample_value("heirloom_decisions_total", shared) == 40 - 16


def test_the_swap_shows_at_once(client, read, models):
    def state(role, now):
        return read("heirloom_model", state=now, model_id=parts.model_id(models[role]), name=role, role=role)

    assert (state("teacher", "active"), state("teacher", "previous")) == (1, 0)
    client.post("/v1/models/activate", json={"model": str(models["student"])})
    assert (state("student", "active"), state("teacher", "previous")) == (1, 1)
    assert read("heirloom_threshold", model_id=parts.model_id(models["teacher"])) == TEACHER_THRESHOLD


def test_who_is_enrolled_shows_at_once(read, gallery):
    assert (read("heirloom_gallery_subjects"), read("heirloom_gallery_templates")) == (2, 2)
    gallery.forget("red")
    assert (read("heirloom_gallery_subjects"), read("heirloom_gallery_collections")) == (1, 1)


def test_a_gallery_that_cannot_be_read_is_a_figure_and_no_error(read, gallery, monkeypatch):
    assert read("heirloom_gallery_readable") == 1

    def fail():
        raise GalleryUnavailable("disk I/O error", "g.heirloom", "Check the disk.")

    monkeypatch.setattr(gallery.store, "collections", fail)
    assert read("heirloom_gallery_readable") == 0
    assert read("heirloom_build_info", **build_labels()) == 1


def build_labels():
    (sample,) = (
        sample for family in Meters().registry.collect() if family.name == "heirloom_build" for sample in family.samples
    )
    return sample.labels


def test_with_keys_it_takes_one_with_the_scope_audit_for_all_collections(client, gallery_path):
    def status(token):
        return client.get("/metrics", headers={"authorization": f"Bearer {token}"}).status_code

    audit = parts.make_key(gallery_path, "audit")
    assert client.get("/metrics").status_code == 401
    assert status(audit) == 200
    assert status(parts.make_key(gallery_path, "identify", "enrol", "admin")) == 403
    assert status(parts.make_key(gallery_path, "audit", collections=["default"])) == 403


def test_app_serve_counts_stages_and_requests_in_one_place(gallery_path, models, tmp_path):
    with (
        serving(tmp_path, "--gallery", gallery_path, "--model", models["teacher"]) as server,
        httpx.Client(base_url=server.url, timeout=parts.PATIENCE) as client,
    ):
        assert identify(client, BLACK).status_code == 200
        told = client.get("/metrics").text.splitlines()
    assert 'heirloom_http_requests_total{method="POST",route="/identify",status="200"} 1.0' in told
    assert 'heirloom_stage_seconds_count{stage="decode"} 1.0' in told
    assert 'heirloom_batch_items_count{stage="look"} 1.0' in told


def test_two_services_in_one_process_count_apart(meters):
    meters.begun()
    assert Meters().registry.get_sample_value("heirloom_http_requests_in_flight") == 0
