"""Folders of people and record files become one row of faces; what is unusable is listed, never fatal."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from faces.detect import open_detector
from kd.data.crops import RIM, SIDE, Chosen, Joined
from kd.data.people import People, only_people_with, prepare_people, read_people
from kd.errors import DataUnusable
from tests.kd.record_files import encoded, record, write_records


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


def test_a_folder_that_holds_something_else_is_left_alone(people, tmp_path):
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(DataUnusable, match="something else than prepared faces"):
        prepare_people([people], tmp_path, no_detector)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


@pytest.mark.parametrize("setup", ["empty", "unlabelled only"])
def test_folders_without_people_are_refused(tmp_path, setup):
    (tmp_path / "in").mkdir()
    if setup == "unlabelled only":
        write(tmp_path / "in" / "unlabelled" / "1.png", 128, 128)
    with pytest.raises(DataUnusable, match="ROOT/PERSON"):
        prepare_people([tmp_path / "in"], tmp_path / "out", no_detector)


def test_every_root_must_hold_people(people, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataUnusable, match=r"no photos of people: .*empty"):
        prepare_people([people, tmp_path / "empty"], tmp_path / "out", no_detector)


@pytest.mark.parametrize("root", ["missing", "photo.jpg"])
def test_a_root_is_a_folder_or_a_record_file(tmp_path, root):
    (tmp_path / "photo.jpg").write_bytes(encoded(1))
    with pytest.raises(DataUnusable, match=f"neither a folder nor a .rec file: .*{root}"):
        prepare_people([tmp_path / root], tmp_path / "out", no_detector)


def test_a_root_given_twice_is_read_once(people, tmp_path):
    assert len(prepare_people([people, people / ".." / people.name], tmp_path, no_detector).labels) == 18


def test_a_person_may_have_one_photo_and_a_folder_without_any_is_listed(tmp_path):
    write(tmp_path / "in" / "ada" / "1.png", 128, 128)
    (tmp_path / "in" / "bob").mkdir()
    (tmp_path / "in" / ".hidden").mkdir()
    found = prepare_people([tmp_path / "in"], tmp_path / "out", no_detector)
    assert found.names == ("ada",)
    assert found.skipped == ((str(tmp_path / "in" / "bob"), "no photo in this folder"),)


def test_a_name_is_the_same_however_its_accents_are_encoded(tmp_path):
    for form in ("NFC", "NFD"):
        write(tmp_path / form / unicodedata.normalize(form, "Zoë") / "1.png", 128, 128)
    found = prepare_people([tmp_path / "NFC", tmp_path / "NFD"], tmp_path / "out", no_detector)
    assert (found.names, found.labels.tolist()) == ((unicodedata.normalize("NFC", "Zoë"),), [0, 0])


def test_names_that_differ_in_case_are_two_people(tmp_path):
    write(tmp_path / "a" / "aB3" / "1.png", 128, 128)
    write(tmp_path / "b" / "ab3" / "1.png", 128, 128)
    assert prepare_people([tmp_path / "a", tmp_path / "b"], tmp_path / "out", no_detector).names == ("aB3", "ab3")


class TestRecordFiles:
    @pytest.fixture
    def train(self, tmp_path) -> Path:
        """Labels 10, 2 and 9, two images of each; one of person 2 is damaged."""
        labels = {1: 10, 2: 2, 3: 9, 4: 10, 5: 2, 6: 9}
        payloads = {key: record(label, image=encoded(key)) for key, label in labels.items()}
        return write_records(tmp_path / "train.rec", payloads | {5: record(2, image=b"damaged")})

    def test_people_are_named_by_their_labels_in_the_order_of_numbers(self, train, tmp_path):
        found = prepare_people([train], tmp_path / "out", no_detector)
        assert found.names == ("00000002", "00000009", "00000010")
        assert found.labels.tolist() == [2, 0, 1, 2, 1]
        assert found.skipped == ((f"{train}#5", "not a JPEG, PNG or WebP image"),)

    def test_images_stay_in_the_file(self, train, tmp_path):
        found = prepare_people([train], tmp_path / "out", no_detector)
        assert found.crops[1].shape == (SIDE, SIDE, 3)
        assert sum(file.stat().st_size for file in (tmp_path / "out").iterdir()) < found.crops[1].size

    def test_damage_is_looked_for_once(self, train, tmp_path, monkeypatch):
        first = prepare_people([train], tmp_path / "out", no_detector)
        monkeypatch.setattr("kd.data.people.scan_records", no_detector)
        again = prepare_people([train], tmp_path / "out", no_detector)
        assert again.skipped == first.skipped
        assert np.array_equal(again.labels, first.labels)
        assert np.array_equal(again.crops[4], first.crops[4])

    def test_folders_and_record_files_go_together(self, train, people, tmp_path):
        found = prepare_people([train, people], tmp_path / "out", no_detector)
        assert found.names == ("00000002", "00000009", "00000010", "person-0", "person-1", "person-2")
        assert found.labels.tolist() == [3] * 6 + [4] * 6 + [5] * 6 + [2, 0, 1, 2, 1]
        alone = prepare_people([train], tmp_path / "alone", no_detector)
        assert np.array_equal(found.crops[19], alone.crops[1])

    def test_a_folder_named_like_a_label_adds_to_that_person(self, train, tmp_path):
        write(tmp_path / "in" / "00000009" / "1.png", 128, 128)
        found = prepare_people([train, tmp_path / "in"], tmp_path / "out", no_detector)
        assert found.labels.tolist() == [1, 2, 0, 1, 2, 1]

    def test_equal_labels_of_two_files_are_two_people(self, train, tmp_path):
        other = write_records(tmp_path / "other.rec", {1: record(2, image=encoded(9))})
        found = prepare_people([train, other], tmp_path / "out", no_detector)
        assert found.names == ("0-00000002", "0-00000009", "0-00000010", "1-00000002")
        assert found.labels.tolist() == [2, 0, 1, 2, 1, 3]

    def test_a_file_without_an_index_is_refused(self, train, tmp_path):
        train.with_suffix(".idx").unlink()
        with pytest.raises(DataUnusable, match="no index"):
            prepare_people([train], tmp_path / "out", no_detector)

    def test_what_was_kept_is_not_lost_to_a_file_that_was_cut_short(self, train, people, tmp_path):
        before = prepare_people([people, train], tmp_path / "out", no_detector)
        (tmp_path / "out" / "targets.npy").write_text("what a teacher computed")
        whole = train.read_bytes()
        train.write_bytes(whole[:-100])
        with pytest.raises(DataUnusable, match="cut short"):
            prepare_people([people, train], tmp_path / "out", no_detector)
        assert (tmp_path / "out" / "targets.npy").exists()
        train.write_bytes(whole)
        assert prepare_people([people, train], tmp_path / "out", no_detector).names == before.names
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "train.idx", "train.rec"]


class TestOnlyPeopleWith:
    @pytest.fixture
    def mixed(self) -> People:
        """Ada has one photo, Bob two, Eve three, and one shows nobody knows whom."""
        crops = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones((1, SIDE, SIDE, 3), dtype=np.uint8)
        return People(crops, np.array([2, 1, -1, 2, 0, 1, 2]), ("ada", "bob", "eve"), ())

    @pytest.mark.parametrize(
        ("first", "last", "kept"),
        [(1, 1, [4]), (2, 2, [1, 5]), (2, None, [0, 1, 3, 5, 6]), (1, None, [0, 1, 3, 4, 5, 6]), (3, 9, [0, 3, 6])],
    )
    def test_faces_of_others_and_of_nobody_known_are_left_out(self, mixed, first, last, kept):
        found = only_people_with(mixed, first, last)
        assert [int(found.crops[i][0, 0, 0]) for i in range(len(found.crops))] == kept
        assert found.labels.tolist() == mixed.labels[kept].tolist()

    def test_everybody_keeps_their_row(self, mixed):
        assert only_people_with(mixed, 3, None).names == mixed.names

    def test_bounds_that_nobody_meets_are_refused(self, mixed):
        with pytest.raises(DataUnusable, match="nobody has so many photos; the most is 3: '4 to any number of'"):
            only_people_with(mixed, 4, None)


def test_joined_crops_are_counted_through():
    parts = [np.full((count, 1, 1, 3), value, dtype=np.uint8) for count, value in ((2, 1), (0, 2), (3, 3))]
    joined = Joined(parts)
    assert [int(joined[i].max()) for i in range(len(joined))] == [1, 1, 3, 3, 3]


@pytest.mark.parametrize("outside", [-1, 2])
def test_a_number_outside_is_an_index_error(outside):
    crops = np.zeros((3, 1, 1, 3), dtype=np.uint8)
    for some in (Joined([crops[:2]]), Chosen(crops, np.array([0, 2]))):
        with pytest.raises(IndexError):
            some[outside]
