"""What a service comes back with, however it ended."""

import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from app.client import Client
from app.engine import open_engine
from app.errors import NoPreviousModel, ServiceUnreachable
from index.gallery import open_gallery
from tests.app import parts
from tests.app.dying import MOMENTS, OF_THE_GATE
from tests.app.programs import serving


@pytest.fixture
def start(gallery_path, monkeypatch):
    """Serve the gallery anew with these settings, swap to a model or back if told to: the model that then answers."""
    monkeypatch.setattr("app.engine.open_detector", lambda **_: parts.SquareDetector())

    def start(model=None, *, swap_to=None, back=False, **options):
        settings = parts.settings(gallery_path, model, **options)
        with open_engine(settings) as engine:
            if swap_to is not None:
                engine.switch.activate(str(swap_to))
            if back:
                engine.switch.roll_back()
            return engine.switch.models.active.card.name

    return start


def test_the_first_model_is_remembered(start, models):
    start(models["teacher"])
    assert start() == "teacher"


def test_a_swap_outlives_a_restart_with_the_same_command_and_with_none(start, models, caplog):
    start(models["teacher"], swap_to=models["student"])
    assert start(models["teacher"]) == "student"
    assert "--forget-swap goes back" in caplog.text
    assert start() == "student"


def test_there_is_a_way_back_after_a_restart(start, models):
    start(models["teacher"], swap_to=models["student"])
    assert start(back=True) == "teacher"
    assert start(models["teacher"], back=True) == "student"


def test_where_the_previous_model_is_gone_the_service_starts_without_it_and_says_so(start, models, caplog, tmp_path):
    teacher = Path(shutil.copytree(models["teacher"], tmp_path / "teacher"))
    start(teacher, swap_to=models["student"])
    shutil.rmtree(teacher)
    with pytest.raises(NoPreviousModel):
        start(back=True)
    assert "no way back" in caplog.text


def test_a_model_that_outvotes_a_swap_has_none_before_it(start, models):
    start(models["teacher"], swap_to=models["student"])
    with pytest.raises(NoPreviousModel):
        start(models["teacher"], forget_swap=True, back=True)


def test_another_model_on_the_command_line_outvotes_a_swap_for_good(start, models, tmp_path):
    start(models["teacher"], swap_to=models["student"])
    other = parts.write_model(tmp_path / "other", noise=0.01)
    assert start(other) == "other"
    assert start(models["teacher"]) == "teacher"


def test_the_model_of_a_swap_given_on_the_command_line_is_a_word_of_its_own(start, models):
    start(models["teacher"], swap_to=models["student"])
    assert start(models["student"]) == "student"
    assert start(models["teacher"]) == "teacher"


def test_forget_swap_goes_back_to_the_command_line_for_good(start, models):
    start(models["teacher"], swap_to=models["student"])
    assert start(models["teacher"], forget_swap=True) == "teacher"
    assert start() == "teacher"


def test_a_model_that_does_not_open_is_not_remembered(start, models):
    start(models["teacher"])
    with pytest.raises(Exception, match="no such Model"):
        start("/nowhere")
    assert start() == "teacher"


def test_a_service_killed_in_the_midst_of_swaps_comes_back_with_the_old_model_or_the_new(
    gallery_path, models, tmp_path
):
    told = ["teacher"]
    for moment in (0.1, 0.3, None):
        arguments = ("--gallery", gallery_path, "--model", models["teacher"])
        with serving(tmp_path, *arguments) as server, Client(server.url) as client:
            assert client.models().active.name in told[-2:]  # the last that was answered, or the one that was asked for
            if moment is None:
                return
            told = [client.models().active.name]
            swapping = threading.Thread(target=swap_until_dead, args=(client, models, told))
            swapping.start()
            time.sleep(moment)
            server.process.kill()
            swapping.join()


def swap_until_dead(client, models, told):
    """Swap back and forth; `told` ends with the last model that was active and the one that was asked for."""
    while True:
        wanted = "student" if told[-1] == "teacher" else "teacher"
        told.append(wanted)
        try:
            client.activate(str(models[wanted]))
        except ServiceUnreachable:
            return


STORED = ("the choice is stored", "the pointer has moved", "all is done but the answer")


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_in_a_swap_it_comes_back_with_the_old_model_before_the_choice_is_stored_with_the_new_one_after(
    gallery_path, models, tmp_path, moment
):
    arguments = ("--gallery", gallery_path, "--model", models["teacher"])
    with (
        serving(tmp_path, *arguments, program=("tests.app.dying", "activate", moment)) as server,
        Client(server.url) as client,
    ):
        with pytest.raises(ServiceUnreachable):
            client.activate(str(models["student"]))
        assert server.process.wait(parts.PATIENCE) == -signal.SIGKILL
    swapped, not_yet = ("student", "teacher"), ("teacher", None)
    assert models_after_a_restart(tmp_path, arguments) == (swapped if moment in STORED else not_yet)


@pytest.mark.parametrize(
    "moment", [moment for moment in MOMENTS if "model" not in moment and "thresholds" not in moment]
)
def test_killed_on_the_way_back_too(gallery_path, models, tmp_path, moment):
    arguments = ("--gallery", gallery_path, "--model", models["teacher"])
    dying = serving(tmp_path, *arguments, program=("tests.app.dying", "roll_back", moment))
    with dying as server, Client(server.url) as client:
        client.activate(str(models["student"]))
        with pytest.raises(ServiceUnreachable):
            client.roll_back()
        assert server.process.wait(parts.PATIENCE) == -signal.SIGKILL
    back, not_yet = ("teacher", "student"), ("student", "teacher")
    assert models_after_a_restart(tmp_path, arguments) == (back if moment in STORED else not_yet)


@pytest.mark.parametrize("moment", OF_THE_GATE)
def test_killed_at_the_gate_it_comes_back_with_the_model_that_answered_and_measures_anew(
    gallery_path, models, tmp_path, moment
):
    arguments = ("--gallery", gallery_path, "--model", models["teacher"])
    probe = tmp_path / "red.png"
    probe.write_bytes(parts.photo(parts.RED))
    dying = serving(tmp_path, *arguments, program=("tests.app.dying", "hear", moment))
    with dying as server, Client(server.url) as client:
        with pytest.raises(ServiceUnreachable):
            client.gate(str(models["student"]), [("red", probe)])
        assert server.process.wait(parts.PATIENCE) == -signal.SIGKILL
    assert models_after_a_restart(tmp_path, arguments) == ("teacher", None)
    with serving(tmp_path, *arguments) as server, Client(server.url) as client:
        assert [each.gate for each in client.load(str(models["student"])).loaded] == [None]


def test_killed_while_it_watches_a_model_it_comes_back_with_the_one_that_answered(gallery_path, models, tmp_path):
    arguments = ("--gallery", gallery_path, "--model", models["teacher"])
    with serving(tmp_path, *arguments) as server, Client(server.url) as client:
        client.shadow(str(models["student"]), 1.0)
        client.identify(parts.photo(parts.RED))
        server.process.kill()
    assert models_after_a_restart(tmp_path, arguments) == ("teacher", None)


def models_after_a_restart(folder, arguments):
    """The names of the one that answers and of the one before it."""
    with serving(folder, *arguments) as server, Client(server.url) as client:
        answer = client.models()
        assert (answer.loaded, answer.shadow) == ([], None)
        assert client.identify(parts.photo(parts.BLACK)).model.name == answer.active.name
        return answer.active.name, answer.previous and answer.previous.name


def test_what_was_answered_is_there_after_a_kill(gallery_path, models, tmp_path):
    with (
        serving(tmp_path, "--gallery", gallery_path, "--model", models["teacher"]) as server,
        Client(server.url) as client,
    ):
        client.create_subject("ada", purpose="door")
        client.update_subject("green", name="Grün")
        client.forget_subject("red")
        server.process.kill()
        server.process.wait()
    with open_gallery(gallery_path) as gallery:
        assert [(each.subject_id, each.name) for each in gallery.subjects(9)] == [("ada", "ada"), ("green", "Grün")]
        assert gallery.check() == []
