"""loaded → gated → shadow → active → previous, over HTTP; the gate binds, and all of it is on record."""

from contextlib import contextmanager

import httpx
import pytest

from app.engine import open_engine
from app.service import create_app
from faces.image import ImageLimits
from faces.space import digest
from index.errors import GalleryUnavailable
from index.gallery import Template
from tests.app import parts
from tests.app.parts import BLUE, RED, photo


def post(client, action, **asked):
    return client.post(f"/v1/models/{action}", json=asked | {"model": str(asked["model"])})


def told(response, status=200):
    assert response.status_code == status, response.text
    return response.json() if status < 400 else response.json()["error"]


def upload(client, model, people=parts.PROBES, **fields):
    files = [
        ("photos", (f"{person}/{number}.png", photo(shade)))
        for person, shades in people.items()
        for number, shade in enumerate(shades)
    ]
    return client.post("/v1/models/gate", data={"model": str(model), **fields}, files=files)


@contextmanager
def serving(gallery_path, models, monkeypatch, *, paths_allowed=True, **options):
    """A client of a service with these settings."""
    monkeypatch.setattr("app.engine.open_detector", lambda **_: parts.SquareDetector())
    with open_engine(parts.settings(gallery_path, models["teacher"], **options)) as engine:
        app = create_app(engine, admission=parts.admission(), limits=ImageLimits(), paths_allowed=paths_allowed)
        with parts.served(app) as url, httpx.Client(base_url=url, timeout=60) as client:
            yield client


class TestLoading:
    def test_several_models_are_loaded_beside_the_one_that_answers(self, client, models):
        post(client, "load", model=models["student"])
        answer = told(post(client, "load", model=models["clumsy"]))
        assert answer["active"]["name"] == "teacher"
        assert [(each["name"], each["state"]) for each in answer["loaded"]] == [
            ("student", "loaded"),
            ("clumsy", "loaded"),
        ]

    def test_one_that_is_loaded_already_is_not_loaded_twice(self, client, models):
        for name in ("student", "student", "teacher"):
            answer = told(post(client, "load", model=models[name]))
        assert [each["name"] for each in answer["loaded"]] == ["student"]

    def test_another_file_in_the_same_folder_is_another_model(self, client, tmp_path):
        folder = parts.write_model(tmp_path / "exported", role="student", noise=0.02)
        post(client, "load", model=folder)
        (folder / "model.onnx").unlink()
        (folder / "card.json").unlink()
        folder.rmdir()
        parts.write_model(folder, role="student", noise=0.03)
        assert len(told(post(client, "load", model=folder))["loaded"]) == 2

    def test_each_has_thresholds_at_several_fpirs_with_the_one_that_decides_among_them(self, client, models):
        (student,) = told(post(client, "load", model=models["student"]))["loaded"]
        assert student["calibration"] in student["thresholds"]

    def test_their_number_is_bounded(self, client, models, tmp_path):
        for number in range(4):
            folder = parts.write_model(tmp_path / f"m{number}", role="student", noise=0.01 * (number + 1))
            told(post(client, "load", model=folder))
        assert told(post(client, "load", model=models["student"]), 409)["code"] == "models_full"

    def test_a_loaded_model_is_activated_by_its_id_and_its_file_is_not_read_again(self, client, tmp_path):
        folder = parts.write_model(tmp_path / "gone", role="student", noise=0.02)
        post(client, "load", model=folder)
        (folder / "model.onnx").unlink()
        answer = told(post(client, "activate", model=parts.model_id(folder)))
        assert (answer["active"]["name"], answer["previous"]["name"], answer["loaded"]) == ("gone", "teacher", [])

    def test_the_previous_one_is_unloaded_when_told(self, client, models):
        post(client, "activate", model=models["student"])
        assert told(post(client, "unload", model=parts.model_id(models["teacher"])))["previous"] is None
        assert told(client.post("/v1/models/rollback"), 409)["code"] == "no_previous_model"

    def test_a_candidate_is_unloaded_by_its_path_too(self, client, models):
        post(client, "load", model=models["student"])
        assert told(post(client, "unload", model=models["student"]))["loaded"] == []

    def test_the_model_that_answers_is_not_unloaded_nor_one_that_is_not_there(self, client, models):
        assert told(post(client, "unload", model=models["teacher"]), 409)["code"] == "model_in_use"
        assert told(post(client, "unload", model="d7d322daca1a13fd"), 404)["code"] == "model_not_loaded"

    def test_beyond_loopback_a_loaded_model_is_named_by_its_id_and_nothing_by_a_path(
        self, gallery_path, models, monkeypatch
    ):
        with serving(gallery_path, models, monkeypatch, paths_allowed=False) as client:
            for action in ("load", "activate"):
                assert told(post(client, action, model=models["student"]), 403)["code"] == "path_refused"
            assert told(post(client, "shadow", model=models["student"], share=1), 403)["code"] == "path_refused"
            assert told(upload(client, models["student"]), 403)["code"] == "path_refused"
            answer = told(post(client, "activate", model=parts.model_id(models["teacher"])))
            assert answer["active"]["name"] == "teacher"
            refused = client.post("/v1/models/gate", data={"model": "dlib", "folder": "/etc"})
            assert told(refused, 403)["code"] == "path_refused"


class TestTheGate:
    def test_a_model_as_good_passes_and_goes_on_as_gated(self, client, models):
        verdict = told(upload(client, models["student"]))
        assert (verdict["passed"], verdict["reasons"], verdict["complete"]) == (True, [], True)
        assert (verdict["old"]["model"]["name"], verdict["new"]["model"]["name"]) == ("teacher", "student")
        answer = told(client.get("/v1/models"))
        assert [(each["name"], each["state"]) for each in answer["loaded"]] == [("student", "gated")]
        assert answer["loaded"][0]["gate"]["date"] == verdict["date"]
        assert told(post(client, "activate", model=models["student"]))["active"]["gate"]["passed"]

    def test_counts_and_intervals(self, client, models):
        verdict = told(upload(client, models["student"]))
        new = verdict["new"]
        assert (new["rank1"]["count"], new["rank1"]["of"], new["rank1"]["people"]) == (10, 10, 2)
        assert (new["fnir"]["count"], new["fnir"]["value"], new["fnir"]["low"]) == (0, 0, 0)
        assert new["fnir"]["high"] > 0.5  # two people say little
        assert (new["fpir"]["count"], new["fpir"]["of"], new["fpir"]["people"]) == (0, 4, 4)
        assert new["calibration"]["threshold"] == parts.STUDENT_THRESHOLD
        assert verdict["old"]["calibration"]["threshold"] == parts.TEACHER_THRESHOLD

    def test_a_model_that_misses_people_is_refused_and_then_activated_by_force_alone(self, client, models, recorded):
        verdict = told(upload(client, models["clumsy"]))
        assert not verdict["passed"]
        assert "FNIR rises by 1.000, and may by 0.05" in verdict["reasons"]
        assert verdict["fnir_rise"]["value"] == 1.0
        assert verdict["rank1_kept"]["value"] == verdict["rank1_agreement"]["value"] == 1.0
        error = told(post(client, "activate", model=models["clumsy"]), 409)
        assert (error["code"], "FNIR rises" in error["message"]) == ("gate_refused", True)
        answer = told(client.get("/v1/models"))
        assert (answer["active"]["name"], answer["loaded"][0]["state"]) == ("teacher", "refused")
        assert told(post(client, "activate", model=models["clumsy"], force=True))["active"]["name"] == "clumsy"
        last = recorded()[-1].body
        assert (last["gate"], last["forced"]) == ("refused", 1)

    def test_the_floor_is_what_is_asked_for(self, client, models):
        assert told(upload(client, models["clumsy"], floor="fnir=1"))["passed"]
        told(post(client, "activate", model=models["clumsy"]))

    def test_photos_in_several_requests_are_judged_together(self, client, models, recorded):
        red, rest = {"red": parts.PROBES["red"]}, {name: each for name, each in parts.PROBES.items() if name != "red"}
        first = told(upload(client, models["clumsy"], red, more="true"))
        assert (first["complete"], first["new"]["rank1"]["of"]) == (False, 5)
        assert told(client.get("/v1/models"))["loaded"][0]["gate"] is None
        second = told(upload(client, parts.model_id(models["clumsy"]), rest, trial=first["trial"]))
        assert (second["complete"], second["new"]["rank1"]["of"], second["new"]["fpir"]["of"]) == (True, 10, 4)
        assert [entry.action for entry in recorded()] == ["gate"]

    def test_a_trial_ends_with_its_verdict_and_when_the_present_model_changes(self, client, models):
        ended = told(upload(client, models["student"]))["trial"]
        assert told(upload(client, models["student"], trial=ended), 404)["code"] == "trial_unknown"
        under_way = told(upload(client, models["student"], more="true"))["trial"]
        post(client, "activate", model=models["clumsy"])
        assert told(upload(client, models["student"], trial=under_way), 404)["code"] == "trial_unknown"

    def test_a_verdict_stands_for_the_model_that_it_was_measured_against(self, client, models):
        upload(client, models["clumsy"])
        post(client, "activate", model=models["student"])
        told(post(client, "activate", model=models["clumsy"]))  # never measured against the student

    def test_photos_that_are_no_probes_are_named_with_the_reason(self, client, models, gallery):
        enrolled = photo(RED)
        vector = gallery.ends(1).oldest[0]
        gallery.enrol("red", [Template(vector, "f" * 16, digest(enrolled))], space=gallery.space)
        files = [
            ("photos", ("red/good.png", photo((200, 10, 10)))),
            ("photos", ("red/enrolled.png", enrolled)),
            ("photos", ("red/empty.png", photo((0, 0, 0)))),
            ("photos", ("red/text.png", b"hello")),
        ]
        verdict = told(client.post("/v1/models/gate", data={"model": str(models["student"])}, files=files))
        assert [(each["filename"], each["reason"]) for each in verdict["skipped"]] == [
            ("red/enrolled.png", "photo_is_enrolled"),
            ("red/empty.png", "no_face"),
            ("red/text.png", "image_type_refused"),
        ]
        assert verdict["new"]["rank1"]["of"] == 1

    def test_a_subject_id_may_hold_what_a_file_name_can(self, client, models, gallery):
        odd = 'O"Brien, Zoë/2'
        vector = gallery.ends(1).oldest[0]
        gallery.enrol(odd, [Template(vector, "f" * 16)], space=gallery.space)
        assert told(upload(client, models["student"], {odd: [RED]}))["new"]["rank1"]["of"] == 1

    @pytest.mark.parametrize("name", ["red.png", "/red.png", "red/", ""])
    def test_a_file_name_that_names_nobody_is_refused(self, client, models, name):
        files = [("photos", (name, photo(RED), "image/png"))]
        response = client.post("/v1/models/gate", data={"model": str(models["student"])}, files=files)
        assert told(response, 400)["code"] == "invalid_request"

    def test_probes_of_strangers_alone_are_none(self, client, models):
        error = told(upload(client, models["student"], {"_strangers": [BLUE]}), 422)
        assert error["code"] == "probes_missing"

    def test_nothing_to_measure_with(self, client, models):
        response = client.post("/v1/models/gate", data={"model": str(models["student"])})
        assert told(response, 422)["code"] == "probes_missing"

    def test_the_model_that_answers_is_not_measured_against_itself(self, client, models):
        assert told(upload(client, models["teacher"]), 409)["code"] == "model_in_use"

    def test_a_folder_is_read_by_a_service_on_loopback(self, client, models, probes, tmp_path):
        asked = {"model": str(models["student"]), "folder": str(probes)}
        verdict = told(client.post("/v1/models/gate", data=asked))
        assert (verdict["new"]["rank1"]["of"], verdict["new"]["fpir"]["of"]) == (10, 4)
        nowhere = client.post("/v1/models/gate", data=asked | {"folder": str(tmp_path / "none")})
        assert told(nowhere, 422)["code"] == "probes_missing"

    def test_a_floor_that_is_none_is_refused(self, client, models):
        assert told(upload(client, models["student"], floor="rank1=2"), 400)["code"] == "invalid_request"

    def test_no_photo_is_kept(self, client, engine, models):
        first = told(upload(client, models["student"], more="true"))
        hearing = engine.changeover._gatekeeper._hearings[first["trial"]]
        for trial in hearing._trials:
            assert {type(candidate).__name__ for candidate in (*trial.old, *trial.new)} == {"Candidate"}
        assert not any(isinstance(value, bytes) for value in vars(hearing).values())


class TestTheShadow:
    def ask(self, client, times=4):
        for number in range(times):
            response = client.post(
                "/identify", files={"image": photo(RED, BLUE)}, headers={"x-request-id": f"request-{number}"}
            )
            assert response.json()["model"]["name"] == "teacher"

    def counted(self, client, photos):
        parts.wait_until(lambda: client.get("/v1/models").json()["shadow"]["photos"] == photos)
        return client.get("/v1/models").json()["shadow"]

    def test_live_answers_are_compared_and_stay_the_live_models(self, client, models):
        answer = told(post(client, "shadow", model=models["clumsy"], share=1.0))
        assert answer["loaded"][0]["state"] == "shadow"
        self.ask(client)
        shadow = self.counted(client, 4)
        assert (shadow["model"]["name"], shadow["against"]["name"], shadow["running"]) == ("clumsy", "teacher", True)
        assert (shadow["faces"], shadow["alike"], shadow["live_only"], shadow["nearest_alike"]) == (8, 4, 4, 4)
        assert (shadow["dropped"], shadow["failed"]) == (0, 0)
        assert shadow["score_difference"]["lowest"] <= shadow["score_difference"]["mean"] < 0

    def test_it_ends_with_share_0_and_its_counts_stay(self, client, models):
        post(client, "shadow", model=models["student"], share=1.0)
        self.ask(client, 1)
        self.counted(client, 1)
        answer = told(post(client, "shadow", model=models["student"], share=0))
        assert (answer["shadow"]["running"], answer["shadow"]["photos"]) == (False, 1)
        assert answer["loaded"][0]["state"] == "loaded"

    @pytest.mark.parametrize("end", ["activate", "unload"])
    def test_it_ends_when_its_model_takes_another_place(self, client, models, end):
        post(client, "shadow", model=models["student"], share=1.0)
        answer = told(post(client, end, model=models["student"]))
        assert not answer["shadow"]["running"]

    def test_it_ends_when_the_live_model_changes(self, client, models):
        post(client, "shadow", model=models["student"], share=1.0)
        assert not told(post(client, "activate", model=models["clumsy"]))["shadow"]["running"]

    def test_the_previous_model_may_be_watched_too(self, client, models):
        post(client, "activate", model=models["student"])
        answer = told(post(client, "shadow", model=models["teacher"], share=0.5))
        assert answer["shadow"]["running"]
        assert answer["previous"]["state"] == "previous"

    def test_one_that_begins_while_the_live_model_changes_ends_at_once(self, client, engine, models, monkeypatch):
        start = engine.changeover.shadow.start

        def late(candidate, against, share):
            engine.changeover.activate(str(models["student"]), "cli")
            return start(candidate, against, share)

        monkeypatch.setattr(engine.changeover.shadow, "start", late)
        answer = told(post(client, "shadow", model=models["student"], share=1.0))
        assert (answer["active"]["name"], answer["shadow"]["running"]) == ("student", False)

    @pytest.mark.parametrize("share", [-0.1, 1.1, "much", None])
    def test_a_share_is_0_to_1(self, client, models, share):
        assert told(post(client, "shadow", model=models["student"], share=share), 400)["code"] == "invalid_request"

    def test_not_of_the_model_that_answers(self, client, models):
        assert told(post(client, "shadow", model=models["teacher"], share=1), 409)["code"] == "model_in_use"


def test_every_step_is_on_record_with_who_and_which_models(client, models, recorded):
    teacher, student = (parts.model_id(models[name]) for name in ("teacher", "student"))
    post(client, "load", model=models["student"])
    upload(client, models["student"])
    post(client, "shadow", model=models["student"], share=0.5)
    post(client, "activate", model=models["student"])
    client.post("/v1/models/rollback")
    post(client, "unload", model=student)
    measured = {"kept": 1.0, "fnir_old": 0.0, "fnir_new": 0.0, "fpir_old": 0.0, "fpir_new": 0.0}
    judged = {"passed": 1, "reasons": "", "floor": "fnir=0.05,kept=0.9", "mated": 10, "non_mated": 4, "stored": 0}
    there, back = {"model_id": student, "from": teacher}, {"model_id": teacher, "from": student}
    compared = {"model_id": student, "against": teacher}
    assert [(entry.action, entry.body) for entry in recorded()] == [
        ("load_model", {"model_id": student}),
        ("gate", compared | measured | judged),
        ("shadow", compared | {"share": 0.5}),
        ("swap", there | {"threshold": parts.STUDENT_THRESHOLD, "gate": "passed", "forced": 0}),
        ("rollback", back | {"threshold": parts.TEACHER_THRESHOLD}),
        ("unload_model", {"model_id": student}),
    ]
    assert {(entry.actor, entry.collection) for entry in recorded()} == {("anyone", "default")}


def test_a_swap_that_cannot_be_recorded_is_not_made(client, engine, models, monkeypatch):
    def fail(*_):
        raise GalleryUnavailable("disk full", "g.heirloom", "Make room.")

    monkeypatch.setattr(engine.changeover, "_record", fail)
    assert told(post(client, "activate", model=models["student"]), 503)["code"] == "gallery_unavailable"
    assert told(client.get("/v1/models"))["active"]["name"] == "teacher"
