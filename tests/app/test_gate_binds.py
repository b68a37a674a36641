"""The gate's last word binds: whatever is unloaded or restarted, in whichever collection, on the service's probes."""

import httpx
import pytest

from app.service import create_app
from app.trust import trust_of
from faces.image import ImageLimits
from index.keyring import Keyring
from tests.app import parts
from tests.app.parts import GREEN, photo
from tests.app.test_changeover import post, serving, told, upload

BLANK = {"red": [(0, 0, 0)], "green": [GREEN]}


def test_unloading_a_model_takes_no_refusal_back(client, models):
    told(upload(client, models["clumsy"]))
    told(post(client, "unload", model=models["clumsy"]))
    assert told(post(client, "activate", model=models["clumsy"]), 409)["code"] == "gate_refused"


def test_nor_does_a_restart(gallery_path, models, monkeypatch):
    with serving(gallery_path, models, monkeypatch) as client:
        told(upload(client, models["clumsy"]))
    with serving(gallery_path, models, monkeypatch) as client:
        refused = told(post(client, "activate", model=models["clumsy"]), 409)
        assert (refused["code"], "FNIR rises by 1.000" in refused["message"]) == ("gate_refused", True)
        told(upload(client, models["clumsy"], floor="fnir=1,kept=0"))
        told(post(client, "activate", model=models["clumsy"]))


def test_whose_photos_they_were_is_told_once_and_not_kept(client, engine, models):
    verdict = told(upload(client, models["student"], BLANK))
    assert [photo["filename"] for photo in verdict["skipped"]] == ["red/0.png"]
    assert "red/" not in client.get("/v1/models").text
    under_way = told(upload(client, models["student"], BLANK, more="true"))["trial"]
    told(post(client, "unload", model=models["student"]))
    assert engine.changeover._gatekeeper._hearings == {}
    assert told(upload(client, models["student"], trial=under_way), 404)["code"] == "trial_unknown"


class TestStoredProbes:
    def test_a_service_that_has_probes_measures_before_it_swaps(
        self, gallery_path, models, monkeypatch, probes, recorded
    ):
        with serving(gallery_path, models, monkeypatch, probes=probes) as client:
            assert told(client.get("/v1/models"))["stored_probes"]
            assert told(post(client, "activate", model=models["student"]))["active"]["gate"]["passed"]
            assert [entry.action for entry in recorded()] == ["gate", "swap"]
            assert told(post(client, "activate", model=models["clumsy"]), 409)["code"] == "gate_refused"
            assert told(post(client, "activate", model=models["clumsy"], force=True))["active"]["name"] == "clumsy"

    def test_what_was_measured_is_not_measured_again(self, gallery_path, models, monkeypatch, probes, recorded):
        with serving(gallery_path, models, monkeypatch, probes=probes) as client:
            told(client.post("/v1/models/gate", data={"model": str(models["student"])}))
            post(client, "activate", model=models["student"])
            assert [entry.action for entry in recorded()] == ["gate", "swap"]

    def test_no_other_photos_and_no_other_floor_stand_for_them(self, gallery_path, models, monkeypatch, probes):
        low = {"model": str(models["clumsy"]), "floor": "fnir=1,kept=0"}
        with serving(gallery_path, models, monkeypatch, probes=probes) as client:
            assert told(post(client, "activate", model=models["clumsy"]), 409)["code"] == "gate_refused"
            assert told(client.post("/v1/models/gate", data=low))["passed"]
            assert told(upload(client, **low))["passed"]
            assert told(post(client, "activate", model=models["clumsy"]), 409)["code"] == "gate_refused"

    def test_they_are_all_there_is_to_their_trial(self, gallery_path, models, monkeypatch, probes, recorded):
        with serving(gallery_path, models, monkeypatch, probes=probes) as client:
            first = told(client.post("/v1/models/gate", data={"model": str(models["student"]), "more": "true"}))
            assert (first["complete"], [entry.body["stored"] for entry in recorded()]) == (True, [1])
            assert told(upload(client, models["student"], trial=first["trial"]), 404)["code"] == "trial_unknown"

    def test_the_way_back_and_a_new_threshold_for_the_active_model_need_no_gate(
        self, gallery_path, models, monkeypatch, probes, recorded
    ):
        with serving(gallery_path, models, monkeypatch, probes=probes) as client:
            post(client, "activate", model=models["student"])
            told(post(client, "activate", model=models["student"]))
            told(client.post("/v1/models/rollback"))
            assert [entry.action for entry in recorded()] == ["gate", "swap", "swap", "rollback"]

    def test_the_services_own_floor(self, gallery_path, models, monkeypatch, probes):
        with serving(gallery_path, models, monkeypatch, probes=probes, floor="fnir=1") as client:
            told(post(client, "activate", model=models["clumsy"]))

    def test_probes_that_are_gone_stop_the_swap_and_nothing_else(self, gallery_path, models, monkeypatch, tmp_path):
        with serving(gallery_path, models, monkeypatch, probes=tmp_path / "gone") as client:
            assert told(post(client, "activate", model=models["student"]), 422)["code"] == "probes_missing"
            assert told(client.get("/v1/models"))["active"]["name"] == "teacher"
            told(post(client, "activate", model=models["student"], force=True))


class TestTheGateOfAnotherCollection:
    """`visitors`: Yellow and Green are enrolled, so that the probes of Red are non-mated."""

    @pytest.fixture(autouse=True)
    def visitors(self, client):
        told(client.post("/v1/collections", json={"name": "visitors"}), 201)
        for person, colour in (("yellow", (250, 250, 20)), ("green", GREEN)):
            told(client.post("/v1/collections/visitors/subjects", json={"subject_id": person}), 201)
            path = f"/v1/collections/visitors/subjects/{person}/faces"
            told(client.post(path, files={"images": photo(colour)}), 201)

    def test_both_search_there_and_it_says_so(self, client, models, recorded):
        verdict = told(upload(client, models["student"], collection="visitors"))
        assert (verdict["collection"], verdict["passed"]) == ("visitors", True)
        assert (verdict["new"]["rank1"]["of"], verdict["new"]["fpir"]["of"]) == (6, 8)
        assert [row.collection for row in recorded() if row.action == "gate"] == ["visitors"]

    def test_one_that_is_refused_there_is_refused_though_it_passes_elsewhere(self, client, models):
        told(upload(client, models["clumsy"], collection="visitors"))
        assert told(upload(client, models["clumsy"], floor="fnir=1,kept=0"))["passed"]
        refused = told(post(client, "activate", model=models["clumsy"]), 409)
        assert refused["code"] == "gate_refused"
        assert "in visitors" in refused["message"]
        (loaded,) = told(client.get("/v1/models"))["loaded"]
        assert (loaded["state"], loaded["gate"]["collection"]) == ("refused", "visitors")

    def test_until_it_passes_there_or_the_collection_is_gone(self, client, models):
        told(upload(client, models["clumsy"], collection="visitors"))
        told(upload(client, models["clumsy"], collection="visitors", floor="fnir=1,kept=0"))
        told(post(client, "activate", model=models["clumsy"]))
        told(client.post("/v1/models/rollback"))
        told(upload(client, models["clumsy"], collection="visitors"))
        told(client.delete("/v1/collections/visitors"))
        told(client.post("/v1/collections", json={"name": "visitors"}), 201)
        told(post(client, "activate", model=models["clumsy"]))

    def test_photos_that_go_on_with_a_trial_are_for_the_same_collection(self, client, models):
        trial = told(upload(client, models["student"], collection="visitors", more="true"))["trial"]
        assert told(upload(client, models["student"], trial=trial), 404)["code"] == "trial_unknown"
        assert told(upload(client, models["student"], trial=trial, collection="visitors"))["complete"]

    def test_one_that_is_not_there_is_refused(self, client, models):
        assert told(upload(client, models["student"], collection="guests"), 404)["code"] == "collection_unknown"

    def test_the_stored_probes_are_of_the_collection_that_the_service_was_started_with(
        self, client, engine, models, probes, monkeypatch
    ):
        told(upload(client, models["student"], collection="visitors"))
        monkeypatch.setattr(engine.changeover, "_probes", probes)
        told(post(client, "activate", model=models["student"]))
        (previous, active) = (told(client.get("/v1/models"))[role] for role in ("previous", "active"))
        assert (previous["name"], active["gate"]["collection"]) == ("teacher", "default")


class TestKeys:
    @pytest.fixture
    def keyed(self, engine, settings, gallery_path):
        """A client with a key of this scope for these collections; none: for all."""
        engine.gallery.store.create_collection("visitors", parts.SPACE)
        trust = trust_of(settings, Keyring(engine.gallery.store), loopback=True, name="here")
        options = {"admission": parts.admission(), "limits": ImageLimits(), "paths_allowed": True}
        with parts.served(create_app(engine, trust=trust, **options)) as url:

            def made(scope, *collections):
                key = parts.make_key(gallery_path, scope, collections=collections)
                return httpx.Client(base_url=url, headers={"x-api-key": key}, timeout=parts.PATIENCE)

            yield made

    @pytest.mark.parametrize("collections", [("default",), ("visitors",)])
    def test_a_model_answers_for_all_so_a_key_for_one_collection_changes_none(self, keyed, models, collections):
        with keyed("admin", *collections) as client:
            for action, more in (("load", {}), ("shadow", {"share": 1}), ("activate", {}), ("unload", {})):
                assert told(post(client, action, model=models["student"], **more), 403)["code"] == "not_permitted"
            assert told(client.post("/v1/models/rollback"), 403)["code"] == "not_permitted"
            for collection in ("default", "visitors", "nowhere"):
                refused = upload(client, models["student"], collection=collection)
                assert told(refused, 403)["code"] == "not_permitted"

    def test_what_was_measured_in_a_collection_is_told_to_keys_for_it(self, keyed, engine, models):
        with keyed("admin") as everywhere, keyed("identify", "default") as here:
            engine.collection("visitors").enrol("green", parts.templates_of(engine, GREEN), space=parts.SPACE)
            told(upload(everywhere, models["student"], {"green": [GREEN]}, collection="visitors"))
            (seen,), (hidden,) = (told(client.get("/v1/models"))["loaded"] for client in (everywhere, here))
            assert (seen["gate"]["collection"], hidden["gate"], hidden["state"]) == ("visitors", None, "gated")
