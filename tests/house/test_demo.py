"""The demo judges what it sees: it must fail when anything is not as it should be."""

import socket
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from app.schemas import IdentifyAnswer
from demo.__main__ import ask_past_proxies
from demo.answers import Answers, verdict
from demo.photos import PORTRAITS, write_people, write_questions
from demo.programs import ProgramFailed, run, serve
from demo.report import Row, shortfalls
from demo.timing import median_ms
from demo.traffic import CLIENTS, Traffic, traffic
from faces.models import Model
from faces.space import read_card


@pytest.fixture
def rows(root: Path) -> list[Row]:
    """A teacher and a student that answered as they should."""
    card = read_card(root / "models" / "dlib" / "card.json")
    both = [Model(card, Path("a.onnx")), Model(replace(card, name="student", role="student"), Path("b.onnx"))]
    return [
        Row(
            model,
            milliseconds=1.0,
            enrolled=Answers(model.card.name, ("right", "right")),
            erased=Answers(model.card.name, ("unknown",)),
        )
        for model in both
    ]


@pytest.fixture
def calm() -> Traffic:
    """Requests during a swap, all answered."""
    return Traffic(Counter(dlib=9, student=8))


def test_nothing_is_missed_when_all_is_well(rows: list[Row], calm: Traffic) -> None:
    assert shortfalls(rows, calm) == []


def test_one_failed_request_is_a_failed_demo(rows: list[Row], calm: Traffic) -> None:
    calm.failures.append("no answer")
    assert shortfalls(rows, calm) == ["A request failed during the swap: no answer"]


def test_a_model_that_never_answered_was_not_swapped(rows: list[Row]) -> None:
    seen = Traffic(Counter(dlib=17))
    assert shortfalls(rows, seen) == ["student answered nothing while the models were swapped."]


def test_an_answer_under_another_name_is_noticed(rows: list[Row], calm: Traffic) -> None:
    calm.answered["stranger"] += 1
    assert shortfalls(rows, calm) == ["A model nobody asked for answered during the swap: stranger."]


def test_answers_by_the_wrong_model_are_noticed(rows: list[Row], calm: Traffic) -> None:
    rows[1] = replace(rows[1], enrolled=Answers("dlib", ("right",)))
    assert shortfalls(rows, calm) == ["dlib answered where student should have."]


def test_the_teacher_must_name_every_altered_photo(rows: list[Row], calm: Traffic) -> None:
    rows[0] = replace(rows[0], enrolled=Answers("dlib", ("right", "unknown")))
    assert shortfalls(rows, calm) == ["dlib named 1 of 2 altered photos right."]


def test_the_student_may_be_unsure_of_half_of_them(rows: list[Row], calm: Traffic) -> None:
    rows[1] = replace(rows[1], enrolled=Answers("student", ("right", "unknown")))
    assert shortfalls(rows, calm) == []
    rows[1] = replace(rows[1], enrolled=Answers("student", ("right", "unknown", "unknown")))
    assert shortfalls(rows, calm) == ["student named 1 of 3 altered photos right."]


@pytest.mark.parametrize("given", ["wrong", "no face"])
def test_no_model_may_name_somebody_else_or_miss_the_face(rows: list[Row], calm: Traffic, given: str) -> None:
    rows[1] = replace(rows[1], enrolled=Answers("student", ("right", given)))
    assert shortfalls(rows, calm) == [f"student answered {given} for 1 of 2 altered photos."]


@pytest.mark.parametrize("given", ["right", "wrong", "no face"])
def test_a_person_who_was_erased_must_be_unknown(rows: list[Row], calm: Traffic, given: str) -> None:
    rows[0] = replace(rows[0], erased=Answers("dlib", (given,)))
    assert shortfalls(rows, calm) == ["dlib answered unknown for 0 of 1 photos of the erased person."]


@pytest.mark.parametrize(
    ("decided", "expected"), [(["Ada"], "right"), (["Bob"], "wrong"), ([None], "unknown"), ([], "no face")]
)
def test_the_surest_face_decides(decided: list[str | None], expected: str) -> None:
    assert verdict(_answer(decided), "Ada") == expected


def test_a_face_in_the_background_does_not_count() -> None:
    assert verdict(_answer(["Ada", "Bob"]), "Ada") == "right"


def test_requests_that_nobody_answers_are_counted_as_failures(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"x")
    deadline = time.monotonic() + 60
    with socket.socket() as silent:  # its port is taken, and nobody listens
        silent.bind(("127.0.0.1", 0))
        with traffic(f"http://127.0.0.1:{silent.getsockname()[1]}", [photo]) as seen:
            while len(seen.failures) < CLIENTS and time.monotonic() < deadline:
                time.sleep(0.01)
    assert len(seen.failures) >= CLIENTS
    assert seen.answered.total() == 0
    assert seen.requests == len(seen.failures)


def test_a_service_that_does_not_start_is_shown_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match=r"did not start.*\n.*no\.heirloom"), _served(tmp_path):
        pytest.fail("it started")


def test_a_program_that_fails_ends_the_demo() -> None:
    with pytest.raises(ProgramFailed, match=r"index stats ended with exit code [12]"):
        run("index", "stats", "--gallery", "no.heirloom")


@pytest.mark.usefixtures("portraits")
def test_every_portrait_is_altered_in_every_way(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "altered")
    assert {question.subject for question in questions} == {portrait.subject for portrait in PORTRAITS}
    assert len({question.photo.read_bytes() for question in questions}) == len(questions) == 5 * len(PORTRAITS)
    for question in questions:
        with Image.open(question.photo) as photo:
            assert photo.format == "JPEG"


@pytest.mark.usefixtures("portraits")
def test_the_originals_are_enrolled_unchanged(tmp_path: Path) -> None:
    write_people(tmp_path)
    for portrait in PORTRAITS:
        (photo,) = (tmp_path / portrait.subject).iterdir()
        assert photo.read_bytes() == portrait.locate().read_bytes()


def test_the_median_run_is_reported_in_milliseconds() -> None:
    now, seconds = 0.0, iter([9.0, 0.1, 0.2, 0.3, 0.7, 0.1])  # the first warms up, and does not count

    def work() -> None:
        nonlocal now
        now += next(seconds)

    assert median_ms(work, clock=lambda: now) == pytest.approx(200)


def test_the_service_is_asked_past_proxies_and_so_is_whom_the_surroundings_except() -> None:
    environment = {"HTTP_PROXY": "http://proxy:3128", "no_proxy": "mirror"}
    ask_past_proxies(environment)
    assert (environment["NO_PROXY"], environment["no_proxy"]) == ("127.0.0.1", "mirror,127.0.0.1")


def _answer(decided: list[str | None]) -> IdentifyAnswer:
    threshold = {
        "threshold": 0.9,
        "fpir": 0.01,
        "low": None,
        "high": None,
        "trials": None,
        "extrapolated": False,
        "calibrated_on": "card",
        "subjects": 370,
        "date": "",
        "model_id": "",
    }
    face = {
        "box": {"x_min": 0, "y_min": 0, "x_max": 1, "y_max": 1},
        "score": 1.0,
        "landmarks": [(0, 0)] * 5,
        "quality": {"ok": True, "reasons": []},
        "candidates": [],
        "not_searched": [],
    }
    return IdentifyAnswer.model_validate(
        {
            "request_id": "1",
            "model": {"model_id": "", "space_id": "", "name": "dlib", "role": "teacher"},
            "gallery": {"subjects": 2, "templates": 2, "version": 1},
            "image": {"width": 1, "height": 1},
            "faces": [face | {"decision": threshold | {"subject_id": subject}} for subject in decided],
            "timings_ms": {},
            "thresholds": [],
        }
    )


def _served(folder: Path):
    return serve(folder / "no.heirloom", "dlib", 0.1, folder / "service.log")
