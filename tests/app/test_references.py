"""MODEL as people write it, and which one a service starts with."""

import pytest

from app.errors import ModelNotChosen
from app.references import absolute, starting_model


def test_a_name_is_kept(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dlib").mkdir()
    assert absolute("dlib") == "dlib"


def test_a_path_is_found_again_from_any_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert absolute("mine") == str(tmp_path / "mine")
    assert absolute("onnx:face.onnx?colour=BGR") == f"onnx:{tmp_path}/face.onnx?colour=BGR"
    assert absolute("onnx:/models/face.onnx") == "onnx:/models/face.onnx"


@pytest.mark.parametrize(
    ("given", "stored", "started_with", "expected"),
    [
        ("/a", None, None, "/a"),  # the first start
        (None, "/a", "/a", "/a"),  # later: nothing need be said again
        ("/a", "/b", "/a", "/b"),  # swapped to /b since: a restart with the same command keeps the swap
        (None, "/b", "/a", "/b"),
        ("/c", "/b", "/a", "/c"),  # another --model is the newer word
        ("/a", "/b", None, "/a"),  # swapped by a service that was started without --model
        ("/b", "/b", "/a", "/b"),
    ],
)
def test_the_last_thing_that_was_said_wins(given, stored, started_with, expected):
    assert starting_model(given, stored, started_with) == expected


def test_with_nothing_said_there_is_no_model_to_start_with():
    with pytest.raises(ModelNotChosen, match="--model dlib"):
        starting_model(None, None, None)
