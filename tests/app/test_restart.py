"""What a service comes back with, however it ended."""

import threading
import time

from app.client import Client
from app.errors import ServiceUnreachable
from tests.app.programs import serving


def active(server):
    with Client(server.url) as client:
        return client.models().active.name


def swap(server, model):
    with Client(server.url) as client:
        client.activate(str(model))


def test_a_swap_outlives_a_restart_and_another_model_on_the_command_line_outvotes_it(gallery_path, models, tmp_path):
    gallery, teacher, student = ("--gallery", gallery_path), models["teacher"], models["student"]
    with serving(tmp_path, *gallery, "--model", teacher) as server:
        swap(server, student)
    with serving(tmp_path, *gallery, "--model", teacher) as server:
        assert active(server) == "student"
        assert "--forget-swap" in server.log.read_text()
    with serving(tmp_path, *gallery) as server:
        assert active(server) == "student"
    with serving(tmp_path, *gallery, "--model", teacher, "--forget-swap") as server:
        assert active(server) == "teacher"
    with serving(tmp_path, *gallery, "--model", student) as server:
        assert active(server) == "student"
    with serving(tmp_path, *gallery, "--model", teacher) as server:
        assert active(server) == "teacher"


def test_a_service_killed_in_the_midst_of_swaps_comes_back_with_the_old_model_or_the_new(
    gallery_path, models, tmp_path
):
    arguments = ("--gallery", gallery_path, "--model", models["teacher"])
    for moment in (0.05, 0.2, 0.5):
        with serving(tmp_path, *arguments) as server:
            told = [active(server)]
            swapping = threading.Thread(target=swap_until_dead, args=(server.url, models, told))
            swapping.start()
            time.sleep(moment)
            server.process.kill()
            swapping.join()
        with serving(tmp_path, *arguments) as server:
            assert active(server) in told[-2:]  # the last that was answered, or the one that was asked for


def swap_until_dead(url, models, told):
    """Swap back and forth; `told` ends with the last model that was active and the one that was asked for."""
    with Client(url) as client:
        while True:
            wanted = "student" if told[-1] == "teacher" else "teacher"
            told.append(wanted)
            try:
                client.activate(str(models[wanted]))
            except ServiceUnreachable:
                return
