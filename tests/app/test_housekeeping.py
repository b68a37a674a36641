"""What the service does by itself."""

from datetime import UTC, datetime, timedelta

import anyio
import anyio.from_thread
import httpx
import numpy as np
import pytest

from app.engine import open_engine
from app.housekeeping import housekeeping, keep_house
from app.probes import probes_in
from app.service import create_app
from app.thresholds import Thresholds
from app.trial import Floor
from faces.image import ImageLimits
from index import audit
from index.errors import GalleryUnavailable
from index.gallery import Template
from index.store import open_store
from tests.app import parts

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def ids(gallery):
    return [subject.subject_id for subject in gallery.subjects(100)]


def test_whose_time_has_come_is_forgotten_in_every_collection(engine, gallery):
    gallery.store.create_collection("visitors", parts.SPACE)
    visitors = engine.collection("visitors")
    gallery.update_subject("red", expires=NOON)
    gallery.update_subject("green", expires=NOON + timedelta(seconds=1))
    visitors.put_subject("ada", expires=NOON)
    assert keep_house(engine, NOON - timedelta(seconds=1)) == 0
    assert keep_house(engine, NOON) == 2
    assert (ids(gallery), ids(visitors)) == (["green"], [])
    (row, _) = gallery.store.read(lambda connection: audit.entries(connection, 10, action="forget"))
    assert row.actor == "service"


def test_a_collection_without_anything_to_do_is_not_opened(engine, gallery, monkeypatch):
    opened, open_one = [], gallery.store.gallery
    for name in ("busy", "due", "idle"):
        gallery.store.create_collection(name, parts.SPACE)
        open_one(name).put_subject("ada", expires=NOON if name == "due" else NOON + timedelta(days=1))
    engine.thresholds.several(open_one("busy"), engine.switch.models.active.card)
    monkeypatch.setattr(gallery.store, "gallery", lambda name: opened.append(name) or open_one(name))
    assert [keep_house(engine, NOON) for _ in range(2)] == [1, 0]
    assert opened == ["busy", "due", "busy"]


def test_the_thresholds_of_a_collection_that_another_process_deleted_go(engine, gallery, gallery_path, caplog):
    gallery.store.create_collection("visitors", parts.SPACE)
    engine.thresholds.several(engine.collection("visitors"), engine.switch.models.active.card)
    with open_store(gallery_path) as elsewhere:
        elsewhere.delete_collection("visitors")
    keep_house(engine, NOON)
    assert engine.thresholds.collections() == {"default"}
    assert not caplog.records


def test_a_running_service_keeps_house(engine, gallery):
    gallery.update_subject("red", expires=LONG_AGO)
    app = create_app(engine, admission=parts.admission(), limits=ImageLimits(), expiry_every=0.05)
    with parts.served(app) as url:
        parts.wait_until(lambda: ids(gallery) == ["green"])
        gallery.update_subject("green", expires=LONG_AGO)
        parts.wait_until(lambda: not ids(gallery))
        assert httpx.get(f"{url}/v1/subjects", timeout=parts.PATIENCE).json()["subjects"] == []


def test_what_fails_in_one_collection_does_not_stop_the_others(engine, gallery, monkeypatch, caplog):
    for name in ("a", "z"):
        gallery.store.create_collection(name, parts.SPACE)
        engine.collection(name).put_subject("ada", expires=NOON)
    collection = engine.collection
    monkeypatch.setattr(engine, "collection", lambda name: collection("gone" if name == "a" else name))
    assert keep_house(engine, NOON) == 1
    assert "housekeeping failed: no such collection" in caplog.text


def test_what_nobody_foresaw_in_one_collection_does_not_stop_the_others(engine, gallery, monkeypatch, caplog):
    gallery.store.create_collection("z", parts.SPACE)
    engine.collection("z").put_subject("ada", expires=NOON)

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(engine.thresholds, "renew", fail)
    gallery.update_subject("red", expires=NOON)
    assert keep_house(engine, NOON) == 2
    assert [record.fields["collection"] for record in caplog.records if record.exc_info] == ["default", "z"]


@pytest.mark.parametrize("error", [GalleryUnavailable("no", "x", "Wait."), MemoryError()], ids=["ours", "foreign"])
def test_a_round_that_fails_is_logged_and_the_next_one_comes(engine, gallery, monkeypatch, caplog, error):
    collections, failures = gallery.store.collections, iter([error, error])

    def now_and_then():
        for failure in failures:
            raise failure
        return collections()

    monkeypatch.setattr(gallery.store, "collections", now_and_then)
    gallery.update_subject("red", expires=LONG_AGO)

    async def keep():
        async with housekeeping(engine, 0.01, lambda: NOON):
            while ids(gallery) != ["green"]:
                await anyio.sleep(0.01)

    with anyio.from_thread.start_blocking_portal() as portal:
        portal.start_task_soon(keep).result(timeout=parts.PATIENCE)
    assert caplog.text.count("housekeeping failed") == 2


@pytest.fixture
def crowd(engine, gallery):
    """Enrols so many people whose faces are drawn at random."""
    draw = np.random.default_rng(5)

    def enrol(first, last):
        for number in range(first, last):
            row = draw.standard_normal(parts.DIM).astype(np.float32)
            template = Template(row / np.linalg.norm(row), engine.switch.models.active.card.model_id)
            gallery.enrol(f"p{number}", [template], space=parts.SPACE)

    return enrol


def test_thresholds_are_measured_anew_when_a_gallery_has_grown_by_half(engine, gallery, crowd):
    card, thresholds = engine.switch.models.active.card, engine.thresholds
    assert [each.calibrated_on for each in thresholds.several(gallery, card)] == ["card"]
    crowd(0, 60)
    assert len(thresholds.several(gallery, card)) == 1
    keep_house(engine, NOON)
    highest, _ = measured = thresholds.several(gallery, card)
    assert (highest.fpir, highest.calibrated_on, highest.subjects) == (0.1, "gallery", 62)
    crowd(60, 70)
    keep_house(engine, NOON)
    assert thresholds.several(gallery, card) == measured


@pytest.fixture
def outgrow(engine, crowd):
    """Enrols so many that the threshold that decides comes from the gallery, and lets it be measured."""

    def grow():
        crowd(0, 300)
        keep_house(engine, NOON)

    return grow


def test_what_decides_since_it_was_measured_anew_is_what_is_told_of_the_model(client, engine, outgrow):
    active = engine.switch.models.active
    outgrow()
    photo = parts.photo(parts.RED)
    decision = client.post("/v1/identify", files={"image": photo}).json()["faces"][0]["decision"]
    assert decision["threshold"] != parts.TEACHER_THRESHOLD
    told = client.get("/v1/models").json()["active"]
    assert told["calibration"]["threshold"] == decision["threshold"]
    assert told["calibration"] in told["thresholds"]
    assert engine.switch.models.active is active  # who holds it, a shadow say, goes on
    (line,) = [each for each in client.get("/metrics").text.splitlines() if each.startswith("heirloom_threshold{")]
    assert float(line.split()[1]) == decision["threshold"]


def test_models_that_are_loaded_beside_are_measured_anew_too(engine, gallery, models, outgrow):
    engine.switch.activate(str(models["student"]))
    teacher = engine.switch.models.previous
    outgrow()
    assert teacher.threshold.subjects == 302
    assert teacher.threshold == engine.thresholds.deciding(gallery, teacher.card)


def test_a_trial_goes_on_and_is_judged_by_what_decides_at_its_end(engine, gallery, models, probes, outgrow):
    hear, student, photos = engine.changeover.hear, str(models["student"]), probes_in(probes, ImageLimits())
    hearing, verdict = hear(student, gallery, photos[::2], Floor(), "cli", more=True)
    assert verdict.found.old.threshold.value == parts.TEACHER_THRESHOLD
    outgrow()
    _, verdict = hear(student, gallery, photos[1::2], Floor(), "cli", trial=hearing.hearing_id)
    assert verdict.found.old.threshold == engine.thresholds.deciding(gallery, engine.switch.models.active.card)


def test_of_a_gallery_that_cannot_be_read_the_last_threshold_is_told(settings, monkeypatch):
    monkeypatch.setattr("app.engine.open_detector", lambda **_: parts.SquareDetector())
    with open_engine(settings.model_copy(update={"threshold": 0.5})) as engine:

        def fail():
            raise GalleryUnavailable("disk I/O error", "x", "Wait.")

        monkeypatch.setattr(engine.gallery, "stats", fail)
        assert engine.switch.models.active.threshold.value == 0.5


def test_another_fpir_is_measured_when_it_is_asked_for_and_then_remembered(engine, gallery, crowd):
    crowd(0, 60)
    card, thresholds = engine.switch.models.active.card, Thresholds(0.01)
    asked = thresholds.deciding(gallery, card, fpir=0.2)
    assert (asked.fpir, asked.calibrated_on) == (0.2, "gallery")
    assert thresholds.deciding(gallery, card, fpir=0.2) is asked
    (tenth, _) = thresholds.several(gallery, card)
    assert asked.value < tenth.value


def test_what_the_operator_chose_decides_unless_the_request_says_otherwise(engine, gallery):
    card, thresholds = engine.switch.models.active.card, Thresholds(0.01, user=0.5)
    assert thresholds.deciding(gallery, card).value == 0.5
    assert thresholds.deciding(gallery, card, fpir=0.01).value == parts.TEACHER_THRESHOLD
    assert thresholds.deciding(gallery, card, value=0.6).value == 0.6
