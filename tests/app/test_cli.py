"""The program `app`."""

import signal
import socket

import httpx
import pytest
from click.testing import CliRunner

from app.cli import main
from tests.app import parts
from tests.app.parts import BLACK, photo
from tests.app.programs import serving


@pytest.fixture
def refused():
    """The one line that `app serve ARGUMENTS` refuses with."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(*arguments):
        done = CliRunner().invoke(main, ["serve", *map(str, arguments)])
        assert (done.exit_code, done.stdout) == (1, ""), done.output
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: ")
        return line

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_serve_answers_says_where_and_stops_when_told(gallery_path, models, tmp_path):
    with serving(tmp_path, "--gallery", gallery_path, "--model", models["teacher"]) as server:
        assert "2 subjects, 2 templates, model teacher" in server.announced[0]
        assert server.url.startswith("http://127.0.0.1:")
        answer = httpx.post(f"{server.url}/identify", files={"image": photo(BLACK)})
        assert (answer.status_code, answer.json()["faces"]) == (200, [])
        assert server.process.stdout.readline().startswith("  curl -F image=@photo.jpg")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.log.read_text()


def test_a_port_in_use_is_told_before_anything_is_loaded(refused, gallery_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused("--gallery", gallery_path, "--model", "dlib", "--port", port)
    assert f"address already in use): '127.0.0.1:{port}'" in line
    assert "--port" in line


def test_an_address_of_another_machine(refused, gallery_path):
    assert "cannot listen" in refused("--gallery", gallery_path, "--host", "192.0.2.1", "--port", 0)


def test_a_gallery_that_is_not_there(refused, tmp_path):
    path = tmp_path / "none.heirloom"
    assert str(path) in refused("--gallery", path, "--model", "dlib", "--port", 0)
    assert not path.exists()


def test_a_gallery_that_is_damaged_is_left_as_it_is(refused, tmp_path):
    path = tmp_path / "torn.heirloom"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    before = path.read_bytes()
    assert str(path) in refused("--gallery", path, "--model", "dlib", "--port", 0)
    assert path.read_bytes() == before


def test_a_model_of_another_space(refused, gallery_path, models):
    line = refused("--gallery", gallery_path, "--model", models["stranger"], "--port", 0)
    assert parts.SPACE.teacher in line
    assert parts.OTHER_SPACE.teacher in line


def test_a_model_without_its_weights(refused, gallery_path, tmp_path):
    folder = parts.write_model(tmp_path / "empty")
    (folder / "model.onnx").unlink()
    assert str(folder / "model.onnx") in refused("--gallery", gallery_path, "--model", folder, "--port", 0)


def test_a_gallery_that_was_never_served_needs_a_model(refused, gallery_path):
    assert "--model" in refused("--gallery", gallery_path, "--port", 0)


def test_no_gallery_is_named(refused):
    assert "--gallery" in refused()


def test_beyond_loopback_there_is_a_warning(gallery_path, models, tmp_path):
    arguments = ("--gallery", gallery_path, "--model", models["teacher"], "--host")
    with serving(tmp_path, *arguments, "0.0.0.0") as server:  # noqa: S104
        assert "Warning: http://0.0.0.0:" in server.log.read_text()
        url = server.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        response = httpx.post(f"{url}/v1/models/activate", json={"model": str(models["student"])})
        assert response.json()["error"]["code"] == "path_refused"


def test_swap_prints_old_and_new_and_the_way_back(url, models):
    there = CliRunner().invoke(main, ["swap", str(models["student"]), "--url", url])
    assert there.output.startswith("teacher (teacher, ")
    assert "→ student (student, " in there.output
    back = CliRunner().invoke(main, ["swap", "--back", "--url", url])
    assert back.output.startswith("student (student, ")


def test_swap_finds_a_folder_from_where_it_is_run(url, models, monkeypatch):
    monkeypatch.chdir(models["student"].parent)
    assert "→ student" in CliRunner().invoke(main, ["swap", "student", "--url", url]).output


def test_swap_prints_the_whole_answer_as_json(url, models):
    done = CliRunner().invoke(main, ["swap", str(models["student"]), "--url", url, "--json"])
    assert parts.model_id(models["student"]) in done.output


def test_a_refused_swap_is_one_line_and_exit_code_1(url, models):
    done = CliRunner().invoke(main, ["swap", str(models["stranger"]), "--url", url])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert parts.OTHER_SPACE.teacher in done.output


@pytest.mark.parametrize("arguments", [[], ["dlib", "--back"]])
def test_swap_wants_a_model_or_the_way_back(arguments):
    assert CliRunner().invoke(main, ["swap", *arguments]).exit_code == 2
