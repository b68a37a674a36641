"""`index` as a user meets it: results on stdout, errors in one line on stderr, exit codes."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import faiss
import pytest
from click.testing import CliRunner, Result

from faces.space import ModelCard
from index import cli
from index.gallery import Enrolment, create_gallery
from tests.index.fakes import (
    BLACK,
    GREEN,
    RED,
    SPACE,
    ColourEmbedder,
    SquareDetector,
    card,
    photo,
    random_rows,
    templates,
)

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The program, with models and a detector that need no weights."""
    monkeypatch.setattr(cli, "find_model", lambda _: Loaded(card()))
    monkeypatch.setattr(cli, "open_embedder", lambda model: ColourEmbedder(model.card))
    monkeypatch.setattr(cli, "open_detector", SquareDetector)
    return lambda *words: CliRunner().invoke(cli.main, [str(word) for word in words])


class Loaded:
    def __init__(self, model: ModelCard) -> None:
        self.card = model


@pytest.fixture
def people(tmp_path: Path) -> Path:
    folder = tmp_path / "people"
    photo(folder / "ada" / "1.png", RED)
    photo(folder / "bob" / "1.png", GREEN)
    photo(folder / "bob" / "empty.png", BLACK)
    return folder


@pytest.fixture
def built(run: Run, people: Path, path: Path) -> Path:
    assert run("build", people, "--gallery", path, "--teacher", "dlib").exit_code == 0
    return path


def test_build_reports_what_it_did_and_what_it_skipped(run, people, path):
    result = run("build", people, "--gallery", path, "--teacher", "dlib")
    assert result.exit_code == 0
    assert "empty.png: no_face: No face was found." in result.stdout
    assert "2 photos enrolled, 0 were already, 1 skipped; 2 subjects; 3 photos in" in result.stdout
    assert result.stderr.startswith("photos: 3 of 3")


def test_build_as_json_keeps_stdout_clean(run, people, path):
    result = run("build", people, "--gallery", path, "--teacher", "dlib", "--json")
    report = json.loads(result.stdout)
    assert (report["enrolled"], report["subjects"], report["skipped"][0]["reason"]) == (2, 2, "no_face")


def test_build_fails_when_no_photo_could_be_enrolled_and_still_says_why(run, tmp_path, path):
    photo(tmp_path / "people" / "ada" / "1.png", BLACK)
    result = run("build", tmp_path / "people", "--gallery", path, "--teacher", "dlib")
    assert result.exit_code == 1
    assert "no_face" in result.stdout
    assert result.stderr.splitlines()[-1].startswith("Error: no photo could be enrolled from")


def test_build_of_a_folder_without_photos_makes_no_gallery(run, tmp_path, path):
    (tmp_path / "people").mkdir()
    result = run("build", tmp_path / "people", "--gallery", path, "--teacher", "dlib")
    assert (result.exit_code, path.exists()) == (1, False)
    assert result.stderr.startswith("Error: no photos in folder")


def test_search_names_every_face_and_decides(run, built, people):
    result = run("search", people / "ada" / "1.png", "--gallery", built, "--model", "dlib", "--threshold", "0.9")
    assert result.exit_code == 0
    first, threshold, best, _ = result.stdout.splitlines()
    assert first == "face 1 at 0,0 to 120,120: ada"
    assert threshold == "  threshold 0.9000, from you"
    assert best.split() == ["1.0000", "ada"]


def test_search_as_json_has_the_shape_of_identify(run, built, people):
    arguments = ("--gallery", built, "--model", "dlib", "--threshold", "1.1", "--top-k", "1", "--json")
    answer = json.loads(run("search", people / "ada" / "1.png", *arguments).stdout)
    assert set(answer) == {"model", "gallery", "image", "faces"}
    assert answer["image"] == {"width": 120, "height": 120}
    (face,) = answer["faces"]
    assert set(face) == {"box", "score", "landmarks", "quality", "candidates", "decision", "not_searched"}
    assert face["box"] == {"x_min": 0, "y_min": 0, "x_max": 120, "y_max": 120}
    assert [candidate["subject_id"] for candidate in face["candidates"]] == ["ada"]
    decision = face["decision"]
    assert (decision["subject_id"], decision["threshold"], decision["fpir"]) == (None, 1.1, None)
    assert decision["calibrated_on"] == "user"


def test_a_photo_without_a_face_is_an_answer(run, built, people):
    result = run("search", people / "bob" / "empty.png", "--gallery", built, "--model", "dlib", "--threshold", "0.9")
    assert (result.exit_code, result.stdout) == (0, "No face found in a photo of 120 × 120 pixels.\n")


def test_search_without_any_known_threshold_says_what_to_do(run, built, people):
    result = run("search", people / "ada" / "1.png", "--gallery", built, "--model", "dlib")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "kd evaluate" in result.stderr
    assert "--threshold" in result.stderr


@pytest.fixture
def forty(path: Path) -> Path:
    """A gallery of 40 people with two Templates each."""
    rows = random_rows(80, seed=1)
    people = [Enrolment(f"s{n}", templates(*rows[2 * n : 2 * n + 2])) for n in range(40)]
    with create_gallery(path, SPACE) as gallery:
        gallery.enrol_all(people, space=SPACE)
    return path


def test_calibrate_prints_a_threshold_for_each_fpir_or_why_there_is_none(run, forty):
    result = run("calibrate", "--gallery", forty, "--model", "dlib")
    known, unknown, out_of_reach = result.stdout.splitlines()
    assert re.match(
        r"FPIR 0\.1: 0\.\d{4} \(95 %: 0\.\d{4} to 0\.\d{4}\), from this gallery \(40 people\), N = 40", known
    )
    assert re.search(r"; misses \d+\.\d% of 40 probes of enrolled people$", known)
    assert unknown.startswith("FPIR 0.01: no threshold for FPIR 0.01: 40 Subjects are too few")
    assert "at least 500 Subjects" in out_of_reach
    table = json.loads(run("calibrate", "--gallery", forty, "--model", "dlib", "--json").stdout)
    assert [(row["fpir"], row["threshold"] is None) for row in table] == [(0.1, False), (0.01, True), (0.001, True)]


def test_what_calibrate_prints_is_what_search_decides_by(run, forty, people, tmp_path):
    for n in range(30):
        photo(tmp_path / "probes" / f"nobody {n}" / "1.png", (8 * n, 100, 50))
    calibrated = run("calibrate", "--gallery", forty, "--model", "dlib", "--probes", tmp_path / "probes", "--json")
    kept = json.loads(calibrated.stdout)[0]["threshold"]
    assert (kept["calibrated_on"], kept["trials"], kept["extrapolated"]) == ("probes", 30, False)
    searched = run("search", people / "ada" / "1.png", "--gallery", forty, "--model", "dlib", "--fpir", "0.1", "--json")
    decision = json.loads(searched.stdout)["faces"][0]["decision"]
    assert (decision["threshold"], decision["calibrated_on"]) == (kept["value"], "probes")
    assert (decision["low"], decision["high"], decision["trials"]) == (kept["low"], kept["high"], 30)


def test_calibrate_names_every_photo_that_is_no_probe(run, built, people):
    photo(people / "zoe" / "1.png", (20, 20, 200))
    result = run("calibrate", "--gallery", built, "--model", "dlib", "--probes", people)
    assert (result.exit_code, result.stdout.count("the probes are of too few people: 1.")) == (0, 3)
    assert "ada/1.png: photo_is_enrolled: This photo is a Template of 'ada'." in result.stderr
    assert "bob/empty.png: no_face: No face was found." in result.stderr


def test_calibrate_fails_when_no_photo_is_a_probe(run, built, people):
    result = run("calibrate", "--gallery", built, "--model", "dlib", "--probes", people)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("Error: no photo can be a probe, of: 3.")


@pytest.mark.parametrize(("name", "start"), [("plot.png", b"\x89PNG"), ("plot.SVG", b"<?xml")])
def test_calibrate_draws_a_plot_of_the_kind_that_its_name_says(run, forty, tmp_path, name, start):
    pytest.importorskip("matplotlib")
    result = run("calibrate", "--gallery", forty, "--model", "dlib", "--plot", tmp_path / name)
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / name).read_bytes().startswith(start)


def test_calibrate_refuses_a_plot_of_another_kind_before_it_does_anything(run, path, tmp_path):
    result = run("calibrate", "--gallery", path, "--model", "dlib", "--plot", tmp_path / "plot.pdf")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: a plot cannot be written as: 'plot.pdf'. Let its name end in .png or .svg.\n"


def test_calibrate_without_matplotlib_says_how_to_get_it(run, path, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("calibrate", "--gallery", path, "--model", "dlib", "--plot", tmp_path / "plot.png")
    assert result.exit_code == 1
    assert (
        result.stderr == "Error: a plot needs a package that is not installed: 'matplotlib'. pip install matplotlib\n"
    )


@pytest.mark.parametrize("command", [["search", "photo"], ["calibrate"]])
def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error_with_the_reason(run, built, people, command):
    if hasattr(faiss, "StandardGpuResources"):
        pytest.skip("faiss-gpu is installed")
    words = [people / "ada" / "1.png" if word == "photo" else word for word in command]
    result = run(*words, "--gallery", built, "--model", "dlib", "--device", "cuda")
    assert result.exit_code == 1
    assert "faiss-cpu is installed, not faiss-gpu" in result.stderr


def test_stats_counts(run, built):
    assert run("stats", "--gallery", built).stdout.startswith("2 subjects, 2 templates, version ")
    assert json.loads(run("stats", "--gallery", built, "--json").stdout)["models"] == {card().model_id: 2}


def test_forget_asks_first_and_no_means_no(run, built):
    result = run("forget", "ada", "--gallery", built)
    assert result.exit_code == 1
    assert "Erase ada" in result.stderr
    assert json.loads(run("stats", "--gallery", built, "--json").stdout)["subjects"] == 2


def test_forget_prints_a_receipt(run, built):
    receipt = json.loads(run("forget", "ada", "--gallery", built, "--yes", "--json").stdout)
    assert (receipt["subject_id"], receipt["templates"]) == ("ada", 1)
    assert receipt["erased_at"]
    result = run("forget", "ada", "--gallery", built, "--yes")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: no such Subject: 'ada'. Check the id that was enrolled.\n",
    )


def test_check_says_that_all_is_well_or_what_is_not(run, built):
    assert run("check", "--gallery", built).exit_code == 0
    assert json.loads(run("check", "--gallery", built, "--json").stdout) == []
    damaged = built.read_bytes()[:9000]
    built.write_bytes(damaged)
    result = run("check", "--gallery", built)
    assert (result.exit_code, built.read_bytes()) == (1, damaged)
    assert "malformed" in result.stderr


@pytest.mark.parametrize("command", ["stats", "check", "forget ada --yes", "calibrate --model dlib"])
def test_every_command_names_a_gallery_that_is_not_there(run, path, command):
    result = run(*command.split(), "--gallery", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: no gallery: '{path}'.")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", sorted(set(cli.main.commands) - {"audit"}))
def test_every_command_has_help_for_itself_and_its_options(command):
    assert cli.main.commands[command].help
    result = CliRunner().invoke(cli.main, [command, "--help"])
    assert (result.exit_code, "--json" in result.stdout) == (0, True)
