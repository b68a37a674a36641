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
        answer = httpx.post(f"{server.url}/identify", files={"image": photo(BLACK)}, timeout=parts.PATIENCE)
        assert (answer.status_code, answer.json()["faces"]) == (200, [])
        assert server.process.stdout.readline().startswith("  curl -F image=@photo.jpg")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(parts.PATIENCE) == 0
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


def test_beyond_loopback_a_service_without_a_key_does_not_start(refused, gallery_path, models):
    line = refused("--gallery", gallery_path, "--model", models["teacher"], "--port", 0, "--host", "0.0.0.0")  # noqa: S104
    assert "'http://0.0.0.0:" in line
    assert f"app keys create LABEL --scope identify --gallery {gallery_path}" in line


def test_behind_a_proxy_a_service_without_a_key_does_not_start(refused, gallery_path, models, monkeypatch):
    monkeypatch.setenv("HEIRLOOM_PROXIES", "127.0.0.1")
    assert "app keys create" in refused("--gallery", gallery_path, "--model", models["teacher"], "--port", 0)


def test_beyond_loopback_a_key_is_asked_for_and_a_path_refused(gallery_path, models, tmp_path):
    token = parts.make_key(gallery_path, "admin")
    arguments = ("--gallery", gallery_path, "--model", models["teacher"], "--host", "0.0.0.0")  # noqa: S104
    with serving(tmp_path, *arguments) as server:
        assert "Warning" not in server.log.read_text()
        url = f"{server.url.replace('0.0.0.0', '127.0.0.1')}/v1/models/activate"  # noqa: S104
        asked = {"json": {"model": str(models["student"])}, "timeout": parts.PATIENCE}
        assert httpx.post(url, **asked).json()["error"]["code"] == "key_required"
        answer = httpx.post(url, **asked, headers={"authorization": f"Bearer {token}"})
        assert answer.json()["error"]["code"] == "path_refused"
        assert token not in server.log.read_text()


def test_on_loopback_there_is_a_warning_until_there_is_a_key_and_then_keys_are_asked_for(
    gallery_path, models, tmp_path, monkeypatch
):
    """The service runs all the while."""
    with serving(tmp_path, "--gallery", gallery_path, "--model", models["teacher"]) as server:
        assert "Warning: there is no API key" in server.log.read_text()
        assert CliRunner().invoke(main, ["swap", str(models["student"]), "--url", server.url]).exit_code == 0
        token = parts.make_key(gallery_path, "admin")
        refused = CliRunner().invoke(main, ["swap", "--back", "--url", server.url])
        assert (refused.exit_code, "API key" in refused.stderr) == (1, True)
        monkeypatch.setenv("HEIRLOOM_API_KEY", token)
        assert CliRunner().invoke(main, ["swap", "--back", "--url", server.url]).exit_code == 0


def test_settings_come_from_a_file(gallery_path, models, tmp_path):
    config = tmp_path / "heirloom.toml"
    config.write_text(f'gallery = "{gallery_path}"\nmodel = "{models["student"]}"\n')
    with serving(tmp_path, "--config", config) as server:
        assert "model student" in server.announced[0]


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
