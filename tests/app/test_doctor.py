"""`app doctor`: what it finds, and what it says to do."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from app import doctor, machine
from app.cli import main
from app.doctor import of_clock, of_disk, of_keys, of_processor, of_search
from app.machine import Disk, Processor
from app.settings import Settings
from index.examine import SearchFacts
from index.gallery import create_gallery
from tests.app import parts

GOLDEN = Path(__file__).parents[1] / "index" / "golden"
MIB = 2**20
NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
PROCESSOR = Processor("A processor", ("avx2",), 4, None)
SEARCH = SearchFacts("int8", "1.15.1", "AVX2", ("NONE", "AVX2"), 4)
DISK = Disk("ext4", 10_000 * MIB)


@pytest.fixture
def examine(gallery_path, models, tmp_path, monkeypatch):
    """What `app doctor --json ARGUMENTS` finds, by check, and its exit code."""
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "open_detector", lambda **_: parts.SquareDetector())
    monkeypatch.setattr(machine, "disk", lambda _: DISK)  # this machine's own may be full

    def run(*arguments, gallery=gallery_path, model=models["teacher"]):
        given = ["--gallery", gallery, "--model", model] if model else ["--gallery", gallery]
        done = CliRunner().invoke(main, ["doctor", "--json", *map(str, given), *map(str, arguments)])
        return {each["check"]: each for each in json.loads(done.stdout)}, done.exit_code

    return run


def levels(found):
    return {check: each["level"] for check, each in found.items()}


def test_where_all_is_well_it_says_so_and_exits_with_0(examine, gallery_path):
    parts.make_key(gallery_path, "identify")
    found, code = examine()
    assert code == 0
    assert list(found) == [
        "settings", "processor", "search", "runtime", "cache", "detector", "disk", "store", "clock", "keys", "model",
    ]  # fmt: skip
    assert not {check for check, level in levels(found).items() if level == "error"}
    assert levels(found)["store"] == levels(found)["model"] == levels(found)["keys"] == "ok"
    assert "2 subjects, 2 templates, embeddings not sealed" in found["store"]["said"]


def test_each_check_is_one_line(gallery_path, models, monkeypatch, tmp_path):
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor, "open_detector", lambda **_: parts.SquareDetector())
    done = CliRunner().invoke(main, ["doctor", "--gallery", str(gallery_path), "--model", str(models["teacher"])])
    lines = done.stdout.splitlines()
    assert len(lines) == 11
    assert {line.split()[0] for line in lines} <= {"ok", "warning", "error"}
    (keys,) = (line for line in lines if line.split()[1] == "keys")
    assert keys.startswith("warning  keys ")
    assert "app keys create" in keys


def test_nothing_is_changed(examine, gallery_path):
    before = gallery_path.read_bytes()
    examine()
    assert gallery_path.read_bytes() == before


def test_a_gallery_that_is_not_there_is_an_error_and_the_machine_is_examined_all_the_same(examine, tmp_path):
    found, code = examine(gallery=tmp_path / "none.heirloom")
    assert code == 1
    assert found["store"]["level"] == "error"
    assert "index build" in found["store"]["remedy"]
    assert found["model"]["level"] == "ok"


def test_a_damaged_gallery_is_an_error(examine, tmp_path):
    path = tmp_path / "torn.heirloom"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert examine(gallery=path)[0]["store"]["level"] == "error"


def test_a_gallery_of_an_older_format_is_left_to_be_backed_up(examine, tmp_path):
    path = tmp_path / "old.heirloom"
    shutil.copy(GOLDEN / "v1.heirloom", path)
    before = path.read_bytes()
    found, _ = examine(gallery=path)
    assert (found["store"]["level"], "Back it up" in found["store"]["remedy"]) == ("warning", True)
    assert path.read_bytes() == before


def test_a_sealed_gallery_without_its_key(examine, monkeypatch, tmp_path):
    monkeypatch.setenv("HEIRLOOM_STORE_KEY", bytes(range(32)).hex())
    path = tmp_path / "sealed.heirloom"
    create_gallery(path, parts.SPACE).close()
    assert "embeddings sealed" in examine(gallery=path)[0]["store"]["said"]
    monkeypatch.delenv("HEIRLOOM_STORE_KEY")
    found, code = examine(gallery=path)
    assert (code, found["store"]["level"]) == (1, "error")
    assert "HEIRLOOM_STORE_KEY" in found["store"]["remedy"]


def test_bytes_that_are_still_to_be_overwritten(examine, gallery_path):
    with closing(sqlite3.connect(gallery_path)) as connection, connection:
        connection.execute("UPDATE store SET scrub_pending = 1")
    assert examine()[0]["store"]["level"] == "warning"


def test_a_model_of_another_space(examine, models):
    found, code = examine(model=models["stranger"])
    assert (code, found["model"]["level"]) == (1, "error")
    assert parts.SPACE.space_id in found["model"]["said"]
    assert parts.OTHER_SPACE.space_id in found["model"]["said"]


def test_a_model_whose_file_was_changed(examine, tmp_path):
    folder = parts.write_model(tmp_path / "changed")
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + b"\0")
    found, _ = examine(model=folder)
    assert (found["model"]["level"], "restore both" in found["model"]["remedy"]) == ("error", True)


def test_without_a_model_the_one_that_the_gallery_was_served_with_is_examined(examine, engine):
    assert engine
    found, _ = examine(model=None)
    assert found["model"]["said"].startswith("teacher (teacher, ")


def test_a_gallery_that_was_never_served_needs_a_model(examine):
    found, code = examine(model=None)
    assert (code, found["model"]["level"]) == (1, "error")
    assert "--model" in found["model"]["remedy"]


def test_a_file_of_settings_with_an_error(examine, tmp_path):
    config = tmp_path / "heirloom.toml"
    config.write_text("thread = 2\n")
    found, code = examine("--config", config)
    assert (code, found["settings"]["level"]) == (1, "error")
    assert "threads" in found["settings"]["remedy"]
    assert found["store"]["level"] == "ok"


def test_a_cache_that_cannot_be_written(examine, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "file" / "cache"))
    found, code = examine()
    assert (code, found["cache"]["level"]) == (0, "warning")
    assert "HEIRLOOM_CACHE" in found["cache"]["remedy"]


@pytest.mark.parametrize(
    ("found", "threads", "level"),
    [
        (PROCESSOR, None, "ok"),
        (replace(PROCESSOR, limit=4.0), None, "ok"),
        (replace(PROCESSOR, limit=1.5), None, "warning"),
        (replace(PROCESSOR, limit=1.5), 2, "ok"),
        (replace(PROCESSOR, features=()), None, "warning"),
        (replace(PROCESSOR, features=("asimd",)), None, "ok"),
    ],
)
def test_processors(found, threads, level):
    assert of_processor(found, threads).level == level


def test_more_threads_than_the_control_group_has_time_for_are_told_how_many_fit():
    assert "HEIRLOOM_THREADS=1" in of_processor(replace(PROCESSOR, limit=1.5), None).remedy


def test_a_search_engine_without_vector_instructions():
    assert of_search(SEARCH, PROCESSOR).level == "ok"
    assert of_search(replace(SEARCH, level="NONE"), PROCESSOR).level == "warning"
    assert of_search(replace(SEARCH, level="NONE"), replace(PROCESSOR, features=())).level == "ok"
    assert of_search(replace(SEARCH, products="float32"), PROCESSOR).level == "warning"


@pytest.mark.parametrize(
    ("disk", "level"),
    [
        (DISK, "ok"),
        (replace(DISK, kind="nfs4"), "error"),
        (replace(DISK, kind="tmpfs"), "warning"),
        (replace(DISK, kind="unknown"), "ok"),
        (replace(DISK, free=250 * MIB), "warning"),
        (replace(DISK, free=10 * MIB), "error"),
    ],
)
def test_disks_under_a_gallery_of_100_mib(disk, level, tmp_path):
    assert of_disk(disk, tmp_path, 100 * MIB).level == level


def test_a_clock_that_is_behind_the_log():
    assert of_clock(NOW, None).level == "ok"
    assert of_clock(NOW, (NOW - timedelta(days=900)).isoformat()).level == "ok"
    assert of_clock(NOW, (NOW + timedelta(minutes=1)).isoformat()).level == "ok"
    assert of_clock(NOW, (NOW + timedelta(hours=1)).isoformat()).level == "error"


@pytest.mark.parametrize(
    ("options", "keys", "level"),
    [
        ({}, 0, "warning"),
        ({"host": "localhost"}, 0, "warning"),
        ({"host": "::1"}, 1, "ok"),
        ({"host": "0.0.0.0"}, 0, "error"),  # noqa: S104
        ({"host": "faces.example.org"}, 0, "error"),
        ({"proxies": "10.0.0.5"}, 0, "error"),
        ({"host": "0.0.0.0"}, 1, "ok"),  # noqa: S104
    ],
)
def test_keys_are_wanted_where_others_can_reach_the_service(gallery_path, options, keys, level):
    assert of_keys(keys, Settings(gallery=gallery_path, **options), gallery_path).level == level
