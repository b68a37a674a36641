"""Told to stop: first not ready, then no one new, and what was begun is answered."""

import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from app.serve import Lingering, protocol
from app.service import create_app
from faces.image import ImageLimits
from tests.app import parts
from tests.app.hanging import HEIGHT, STUCK
from tests.app.parts import RED, photo
from tests.app.programs import serving

UNIT = Path(__file__).parents[2] / "deploy" / "heirloom.service"


def in_flight(url):
    """Requests whose headers have arrived, and that are not answered."""
    lines = httpx.get(f"{url}/metrics", timeout=parts.PATIENCE).text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("heirloom_http_requests_in_flight ")))


def test_at_sigterm_a_request_in_flight_is_answered_and_the_service_ends_with_0(
    gallery_path, models, tmp_path, monkeypatch
):
    """As under systemd or Docker. The request has begun: its headers are there, and half of its body."""
    for patience in ("UPLOAD_SECONDS", "DRAIN"):
        monkeypatch.setenv(f"HEIRLOOM_{patience}", "60")
    with serving(tmp_path, "--gallery", gallery_path, "--model", models["teacher"]) as server:
        told = threading.Event()

        def body():
            data = photo(RED)
            yield b'--x\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + data[:20]
            parts.wait_until(lambda: in_flight(server.url) == 2)  # this one, and the one that asks
            server.process.send_signal(signal.SIGTERM)
            parts.wait_until(lambda: not listens(server.url))
            told.set()
            yield data[20:] + b"\r\n--x--\r\n"

        headers = {"content-type": "multipart/form-data; boundary=x"}
        answer = httpx.post(f"{server.url}/identify", content=body(), headers=headers, timeout=parts.PATIENCE)
        assert told.is_set()
        assert (answer.status_code, answer.json()["image"]) == (200, {"width": 40, "height": 40})
        assert server.process.wait(parts.PATIENCE) == 0
        assert "Traceback" not in server.log.read_text()


def test_a_photo_that_does_not_end_is_left_after_the_time_to_drain(gallery_path, models, tmp_path, monkeypatch):
    monkeypatch.setenv("HEIRLOOM_DRAIN", "1")
    arguments = ("--gallery", gallery_path, "--model", models["teacher"])
    with (
        serving(tmp_path, *arguments, program=("tests.app.hanging",)) as server,
        parts.asking(server.url, photo(RED, side=HEIGHT)) as answer,
    ):
        parts.wait_until(lambda: STUCK in server.log.read_text())
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(parts.PATIENCE) == 1
        assert answer.exception() is not None or answer.result().status_code >= 500
        assert "are left: 1" in server.log.read_text()


def test_who_is_not_answered_in_time_is_told_so_in_the_shape_of_every_error(engine, held):
    app = create_app(engine, admission=parts.admission(), limits=ImageLimits())
    with ThreadPoolExecutor(1) as pool:
        with parts.served(app, drain=0) as url:
            asked = pool.submit(httpx.post, f"{url}/identify", files={"image": photo(RED)}, timeout=parts.PATIENCE)
            assert held.inside.wait(parts.PATIENCE)
        answer = asked.result()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_service_that_lingers_is_not_ready_but_answers(gallery_path, models, tmp_path, monkeypatch):
    monkeypatch.setenv("HEIRLOOM_LINGER", "600")
    with serving(tmp_path, "--gallery", gallery_path, "--model", models["teacher"]) as server:
        with httpx.Client(base_url=server.url, timeout=parts.PATIENCE) as client:
            assert client.get("/readyz").status_code == 200
            server.process.send_signal(signal.SIGTERM)
            parts.wait_until(lambda: client.get("/readyz").status_code == 503)
            assert client.get("/healthz").status_code == 200
            assert client.post("/identify", files={"image": photo(RED)}).status_code == 200
        server.process.send_signal(signal.SIGTERM)  # the second one is obeyed at once
        assert server.process.wait(parts.PATIENCE) == 0


def test_the_time_to_linger_ends_by_itself(engine):
    app = create_app(engine, admission=parts.admission(), limits=ImageLimits())
    server = Lingering(protocol(app), app.state.service.stopping, 0.05)
    server.handle_exit(signal.SIGTERM, None)
    assert app.state.service.stopping.is_set()
    parts.wait_until(lambda: server.should_exit)


def test_without_a_time_to_linger_it_stops_at_once(engine):
    app = create_app(engine, admission=parts.admission(), limits=ImageLimits())
    server = Lingering(protocol(app), app.state.service.stopping, 0)
    server.handle_exit(signal.SIGTERM, None)
    assert server.should_exit


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze on the PATH")
def test_systemd_understands_the_unit(tmp_path):
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/heirloom/bin/app", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    about = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, about) == (0, []), done.stderr


def listens(url):
    host, port = url.removeprefix("http://").split(":")
    try:
        httpx.get(f"http://{host}:{port}/healthz", timeout=parts.PATIENCE)
    except httpx.TransportError:
        return False
    return True
