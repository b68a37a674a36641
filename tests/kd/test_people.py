"""Folders of people become one array of faces; what is unusable is listed, never fatal."""

from pathlib import Path

import numpy as np
import pytest

from faces.detect import open_detector
from kd.data.people import RIM, SIDE, prepare_people, read_people
from kd.errors import DataUnusable


def no_detector():
    raise AssertionError("crops need no detector")


def write(path: Path, height: int, width: int) -> None:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    cv2.imwrite(str(path), noise)


def test_every_folder_is_a_person(people, tmp_path):
    found = prepare_people([people], tmp_path, no_detector)
    assert found.names == ("person-0", "person-1", "person-2")
    assert found.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert found.crops.shape == (18, SIDE, SIDE, 3)


def test_a_crop_of_112_gets_a_black_rim(tmp_path):
    write(tmp_path / "in" / "ada" / "1.png", 112, 112)
    (crop,) = prepare_people([tmp_path / "in"], tmp_path / "out", no_detector).crops
    assert not crop[:RIM].any()
    assert crop[RIM:-RIM, RIM:-RIM].any()


def test_the_same_name_under_two_roots_is_one_person(tmp_path):
    write(tmp_path / "a" / "ada" / "1.png", 128, 128)
    write(tmp_path / "b" / "ada" / "2.png", 128, 128)
    found = prepare_people([tmp_path / "a", tmp_path / "b"], tmp_path / "out", no_detector)
    assert (found.names, found.labels.tolist()) == (("ada",), [0, 0])


def test_a_folder_called_unlabelled_has_no_labels(tmp_path):
    write(tmp_path / "in" / "ada" / "1.png", 128, 128)
    write(tmp_path / "in" / "unlabelled" / "1.png", 128, 128)
    found = prepare_people([tmp_path / "in"], tmp_path / "out", no_detector)
    assert (found.names, found.labels.tolist()) == (("ada",), [0, -1])


def test_an_unreadable_file_and_a_photo_without_a_face_are_listed(tmp_path):
    write(tmp_path / "in" / "ada" / "1.png", 128, 128)
    write(tmp_path / "in" / "ada" / "noise.png", 60, 60)
    (tmp_path / "in" / "ada" / "text.jpg").write_text("no picture")
    found = prepare_people([tmp_path / "in"], tmp_path / "out", open_detector)
    assert len(found.crops) == 1
    assert [(Path(path).name, reason) for path, reason in found.skipped] == [
        ("noise.png", "no face found"),
        ("text.jpg", "not a JPEG, PNG or WebP image"),
    ]


def test_photos_are_read_once(people, tmp_path, monkeypatch):
    first = prepare_people([people], tmp_path, no_detector)
    monkeypatch.setattr("kd.data.people._faces", no_detector)
    again = prepare_people([people], tmp_path, no_detector)
    assert np.array_equal(first.crops, again.crops)
    assert read_people(tmp_path).names == first.names


def test_a_photo_that_was_added_is_read(people, tmp_path):
    import shutil

    shutil.copytree(people, tmp_path / "in")
    prepare_people([tmp_path / "in"], tmp_path / "out", no_detector)
    write(tmp_path / "in" / "zoe" / "1.png", 128, 128)
    assert "zoe" in prepare_people([tmp_path / "in"], tmp_path / "out", no_detector).names


@pytest.mark.parametrize("setup", ["empty", "unlabelled only"])
def test_folders_without_people_are_refused(tmp_path, setup):
    (tmp_path / "in").mkdir()
    if setup == "unlabelled only":
        write(tmp_path / "in" / "unlabelled" / "1.png", 128, 128)
    with pytest.raises(DataUnusable, match="ROOT/PERSON"):
        prepare_people([tmp_path / "in"], tmp_path / "out", no_detector)
