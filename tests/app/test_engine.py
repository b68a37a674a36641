"""The engine by itself: stages, thresholds, warm-up."""

import itertools

import pytest

from app.engine import Engine, open_engine
from faces.errors import ImageUnreadable
from faces.image import ImageLimits
from index.errors import NotCalibrated
from tests.app import parts
from tests.app.parts import BLACK, RED, photo


def test_each_stage_has_its_milliseconds(engine):
    clock = itertools.accumulate(itertools.count()).__next__  # 0, 1, 3, 6, … seconds
    timed = Engine(engine.gallery, parts.SquareDetector(), engine.changeover, ImageLimits(), clock)
    stages = ("decode", "detect", "quality", "align", "embed", "search")
    assert timed.identify(photo(RED), 1).timings_ms == {
        stage: 1000.0 * lap for lap, stage in enumerate(stages, start=1)
    }


def test_a_photo_without_a_face_goes_through_all_stages(engine):
    answered = engine.identify(photo(BLACK), 1)
    assert answered.found.faces == ()
    assert len(answered.timings_ms) == 6


def test_an_answer_keeps_the_model_it_began_with(engine, models, monkeypatch):
    """The swap happens while the photo is being looked at."""
    detect = parts.SquareDetector().detect

    def swap_then_detect(images):
        engine.switch.activate(str(models["student"]))
        return detect(images)

    monkeypatch.setattr(engine._detector, "detect", swap_then_detect)
    answered = engine.identify(photo(RED), 1)
    assert answered.active.card.name == "teacher"
    assert answered.found.faces[0].decision.threshold.model_id == parts.model_id(models["teacher"])
    assert engine.switch.models.active.card.name == "student"


def test_a_damaged_photo_is_an_error(engine):
    with pytest.raises(ImageUnreadable):
        engine.identify(photo(RED)[:50], 1)


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
