"""`app swap` with a gate and a shadow."""

import json

import pytest
from click.testing import CliRunner

from app.cli import main
from app.client import Client
from app.service import create_app
from faces.image import ImageLimits
from tests.app import parts


@pytest.fixture
def swap(url):
    """`app swap ARGUMENTS` at the service: exit code and output."""

    def run(*arguments):
        done = CliRunner().invoke(main, ["swap", *map(str, arguments), "--url", url])
        return done.exit_code, done.stdout, done.stderr

    return run


def active(url):
    with Client(url) as client:
        return client.models().active.name


def test_a_model_that_passes_is_measured_then_active(swap, url, models, probes):
    code, out, _ = swap(models["student"], "--probes", probes)
    assert (code, active(url)) == (0, "student")
    lines = out.splitlines()
    assert lines[0].split() == ["default", "present:", "teacher", "new:", "student"]
    assert lines[1].split() == ["threshold", "0.7000", "for", "FPIR", "0.01", "0.8000", "for", "FPIR", "0.01"]
    assert [line.split(",")[0] for line in lines[2:5]] == ["rank-1", "FNIR", "FPIR seen"]
    assert "10 of 10 = 1.000 [" in lines[2]
    assert "0 of 4 = 0.000 [" in lines[4]
    assert lines[-2] == "passed"
    assert "→ student" in lines[-1]


def test_a_model_that_does_not_is_refused_with_the_same_table_and_nothing_changes(swap, url, models, probes):
    code, out, err = swap(models["clumsy"], "--probes", probes)
    assert (code, active(url)) == (1, "teacher")
    assert "refused: FNIR rises by 1.000, and may by 0.05" in out.splitlines()
    assert "present: teacher" in out
    assert err.splitlines()[-1].startswith("Error: the gate refuses this model")


def test_force_prints_the_table_and_swaps(swap, url, models, probes, recorded):
    code, out, _ = swap(models["clumsy"], "--probes", probes, "--force")
    assert (code, active(url)) == (0, "clumsy")
    assert "refused: FNIR" in out
    last = recorded()[-1].body
    assert (last["gate"], last["forced"]) == ("refused", 1)


def test_a_floor_of_ones_own(swap, url, models, probes):
    assert swap(models["clumsy"], "--probes", probes, "--floor", "fnir=1")[0] == 0
    assert active(url) == "clumsy"


def test_a_shadow_instead_of_a_swap_whatever_the_gate_says(swap, url, models, probes):
    code, out, _ = swap(models["clumsy"], "--probes", probes, "--shadow", "0.25")
    assert (code, active(url)) == (0, "teacher")
    assert "is compared with teacher on 25% of live requests" in out.splitlines()[-1]
    assert "clumsy is compared no longer" in swap(models["clumsy"], "--shadow", "0")[1]


@pytest.mark.parametrize(("model", "code"), [("student", 0), ("clumsy", 1)])
def test_json_is_one_document(swap, models, probes, model, code):
    got, out, _ = swap(models[model], "--probes", probes, "--json")
    answer = json.loads(out)
    assert got == code
    assert (answer["active"]["gate"] if code == 0 else answer)["passed"] == (code == 0)


def test_without_probes_those_of_the_service_are_taken(engine, models, probes, monkeypatch):
    monkeypatch.setattr(engine.changeover, "_probes", probes)
    app = create_app(engine, admission=parts.admission(), limits=ImageLimits(), paths_allowed=True)
    with parts.served(app) as url:
        done = CliRunner().invoke(main, ["swap", str(models["clumsy"]), "--url", url])
    assert done.exit_code == 1
    assert "refused: FNIR rises by 1.000, and may by 0.05" in done.stdout


def test_more_photos_than_one_request_holds_are_sent_in_several(swap, url, models, probes):
    for number in range(40):
        (probes / "red" / f"more{number}.png").write_bytes(parts.photo((250 - number, 30, 31)))
    code, out, err = swap(models["student"], "--probes", probes)
    assert (code, active(url)) == (0, "student")
    assert "50 of 50 = 1.000 [" in out
    assert "probes: 54 of 54" in err


def test_photos_that_are_no_probes_are_listed(swap, models, probes):
    (probes / "red" / "text.png").write_text("hello")
    assert "no probe: red/text.png: image_type_refused" in swap(models["student"], "--probes", probes)[1]


def test_a_photo_that_cannot_be_read_is_named(swap, url, models, probes):
    (probes / "red" / "gone.png").symlink_to("nowhere.png")
    code, _, err = swap(models["student"], "--probes", probes)
    assert (code, active(url)) == (1, "teacher")
    (line,) = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert line.startswith("Error: No such file or directory: ")
    assert "/red/gone.png'. Check the file" in line


@pytest.mark.parametrize(
    "option", [("--probes", "."), ("--collection", "a"), ("--floor", "fnir=1"), ("--force",), ("--shadow", "0.5")]
)
def test_the_way_back_takes_no_options_of_the_gate(option):
    assert CliRunner().invoke(main, ["swap", "--back", *option]).exit_code == 2


def test_a_folder_without_people_is_an_error(swap, models, tmp_path):
    (tmp_path / "nobody").mkdir()
    assert swap(models["student"], "--probes", tmp_path / "nobody")[0] == 1


def test_another_collection_is_searched_when_it_is_named(swap, url, engine, models, probes):
    engine.gallery.store.create_collection("visitors", parts.SPACE)
    code, _, err = swap(models["student"], "--probes", probes, "--collection", "visitors")
    assert (code, "a probe of somebody who is enrolled" in err) == (1, True)
    code, _, err = swap(models["student"], "--probes", probes, "--collection", "guests")
    assert (code, "no such collection" in err, active(url)) == (1, True, "teacher")


def test_a_collection_without_probes_says_what_it_is_for(swap, models):
    code, _, err = swap(models["student"], "--collection", "visitors")
    assert (code, "--probes" in err) == (2, True)
