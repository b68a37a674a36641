"""The engine by itself: stages, thresholds, warm-up."""

import itertools

import pytest

from app.engine import Engine, open_engine
from app.stages import Workload, open_stages
from faces.errors import DeviceUnavailable, ImageUnreadable
from faces.image import ImageLimits
from index.errors import NotCalibrated
from tests.app import parts
from tests.app.parts import BLACK, RED, photo


def identify(engine, data, top_k=1):
    return engine.identify(lambda: data, top_k, parts.ticket())


def test_each_stage_has_its_milliseconds_and_what_is_left_is_waiting(engine):
    """One clock that goes 0, 1, 3, 6, … seconds: read by the engine, for every lap of the stages, and by the engine."""
    clock = itertools.accumulate(itertools.count()).__next__
    with open_stages(parts.SquareDetector(), Workload(1, 60, 60), clock) as stages:
        timed = Engine(engine.gallery, stages, engine.changeover, engine.thresholds, ImageLimits(), clock=clock)
        laps = dict(identify(timed, photo(RED)).timings_ms)
    assert laps.pop("wait") == 1000 * (1 + 6 + 8 + 10)
    assert laps == {"decode": 2000, "detect": 3000, "quality": 4000, "align": 5000, "embed": 7000, "search": 9000}


def test_a_photo_without_a_face_goes_through_all_stages(engine):
    answered = identify(engine, photo(BLACK))
    assert answered.found.faces == ()
    assert len(answered.timings_ms) == 7


def test_an_answer_keeps_the_model_it_began_with(engine, models, monkeypatch):
    """The swap happens while the photo is being looked at."""
    detect = parts.SquareDetector().detect

    def swap_then_detect(images):
        engine.switch.activate(str(models["student"]))
        return detect(images)

    monkeypatch.setattr(engine.stages.detector, "detect", swap_then_detect)
    answered = identify(engine, photo(RED))
    assert answered.active.card.name == "teacher"
    assert answered.found.faces[0].decision.threshold.model_id == parts.model_id(models["teacher"])
    assert engine.switch.models.active.card.name == "student"


def test_a_gpu_that_was_asked_for_and_is_not_there_ends_the_start(settings, monkeypatch):
    def none() -> int:
        raise DeviceUnavailable("there is no GPU", "cuda", "Take the processor.")

    monkeypatch.setattr("index.device.gpus", none)
    with pytest.raises(DeviceUnavailable), open_engine(settings.model_copy(update={"device": "cuda"})):
        pass


def test_a_damaged_photo_is_an_error(engine):
    with pytest.raises(ImageUnreadable):
        identify(engine, photo(RED)[:50])


def test_a_threshold_that_a_user_chose_holds_for_every_model_and_stands_for_no_fpir(settings, models, monkeypatch):
    monkeypatch.setattr("app.engine.open_detector", lambda **_: parts.SquareDetector())
    with open_engine(settings.model_copy(update={"threshold": 0.5})) as engine:
        for active in (engine.switch.models.active, engine.switch.activate(str(models["student"])).active):
            threshold = active.threshold
            assert (threshold.value, threshold.fpir, threshold.calibrated_on) == (0.5, None, "user")
            assert threshold.model_id == active.card.model_id


def test_an_fpir_that_nobody_has_measured_is_refused_at_the_start(gallery_path, models):
    settings = parts.settings(gallery_path, models["teacher"], fpir=0.002)
    with pytest.raises(NotCalibrated, match=r"0\.002"), open_engine(settings):
        pass
