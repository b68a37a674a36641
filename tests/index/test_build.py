"""A folder of people to a gallery: nothing is enrolled twice, nothing is left out in silence."""

import os
from pathlib import Path

import numpy as np
import pytest

from faces.errors import SpaceMismatch
from faces.image import ImageLimits
from index.build import BuildReport, Flagged, build_gallery, find_people
from index.errors import NothingToEnrol, PhotoUnreadable
from index.gallery import LocalGallery, create_gallery, open_gallery, open_or_create_gallery
from index.threshold import Threshold
from tests.index.fakes import BLACK, GREEN, OTHER_SPACE, RED, SPACE, ColourEmbedder, SquareDetector, photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "people"


def build(
    folder: Path, gallery: LocalGallery, detector: SquareDetector | None = None, *, strict: bool = False
) -> BuildReport:
    return build_gallery(find_people(folder), gallery, detector or SquareDetector(), ColourEmbedder(), strict=strict)


def skipped(report: BuildReport) -> dict[str, str]:
    return {Path(each.path).name: each.reason for each in report.skipped}


def test_every_person_is_enrolled_under_the_name_of_their_folder(folder, gallery):
    photo(folder / "ada" / "1.png", RED)
    photo(folder / "ada" / "2.png", RED, shade=1)
    photo(folder / "bob" / "1.PNG", GREEN)
    report = build(folder, gallery)
    assert (report.photos, report.enrolled, report.subjects, report.skipped) == (3, 3, 2, ())
    probe = ColourEmbedder().embed(np.full((1, 112, 112, 3), GREEN, dtype=np.uint8))
    (nearest, _), *_ = gallery.search(probe, 2, space=SPACE)
    assert (nearest.subject_id, nearest.name) == ("bob", "bob")
    assert gallery.stats().models == {ColourEmbedder().model_id: 3}


def test_every_photo_that_is_not_enrolled_is_named_with_the_reason(folder, gallery):
    photo(folder / "ada" / "good.png", RED)
    photo(folder / "ada" / "nobody.png", BLACK)
    (folder / "ada" / "empty.jpg").write_bytes(b"")
    (folder / "ada" / "text.png").write_text("not a photo at all, whatever it is called")
    (folder / "ada" / "notes.txt").write_text("who she was")
    cut = photo(folder / "ada" / "cut.png", RED).read_bytes()[:200]
    (folder / "ada" / "cut.png").write_bytes(cut)
    photo(folder / "ada" / "older" / "1.png", RED)
    photo(folder / "stray.png", RED)
    report = build(folder, gallery)
    assert skipped(report) == {
        "nobody.png": "no_face",
        "empty.jpg": "image_unreadable",
        "text.png": "image_type_refused",
        "notes.txt": "not_a_photo",
        "cut.png": "image_unreadable",
        "older": "nested_too_deep",
        "stray.png": "not_in_a_persons_folder",
    }
    assert (report.enrolled, gallery.stats().templates) == (1, 1)
    assert all(each.detail for each in report.skipped)


def test_hidden_files_are_passed_over_in_silence(folder, gallery):
    photo(folder / "ada" / "1.png", RED)
    (folder / "ada" / ".DS_Store").write_bytes(b"x")
    (folder / ".git").mkdir()
    assert build(folder, gallery).skipped == ()


def test_a_person_without_a_usable_photo_is_named(folder, gallery):
    photo(folder / "ada" / "1.png", RED)
    photo(folder / "bob" / "1.png", BLACK)
    (folder / "cy").mkdir()
    assert build(folder, gallery).subjects_without_photo == ("bob", "cy")


def test_a_poor_picture_is_enrolled_and_flagged(folder, gallery):
    path = photo(folder / "ada" / "1.png", RED, sharp=False)
    report = build(folder, gallery)
    assert (report.enrolled, report.flagged) == (1, (Flagged(str(path), ("blurred",)),))


def test_a_photo_that_is_there_in_another_form_is_enrolled_and_flagged_unless_told_to_be_strict(folder, gallery):
    photo(folder / "ada" / "1.png", RED)
    twin = photo(folder / "ada" / "2.png", RED, shade=1)
    report = build(folder, gallery, strict=True)
    assert (report.enrolled, skipped(report), report.flagged) == (1, {"2.png": "near_duplicate"}, ())
    report = build(folder, gallery)
    assert (report.enrolled, report.flagged) == (1, (Flagged(str(twin), ("near_duplicate",)),))
    assert gallery.templates("ada")[1].quality == ("near_duplicate",)


def test_a_photo_of_another_face_is_flagged_once_the_gallery_is_calibrated(folder, gallery):
    photo(folder / "ada" / "1.png", RED)
    photo(folder / "bob" / "1.png", GREEN)
    build(folder, gallery)
    wrong = photo(folder / "bob" / "2.png", RED, shade=1)
    model_id = ColourEmbedder().model_id
    gallery.put_thresholds([Threshold(0.9, 0.01, 2, model_id, "gallery", "2026-01-01")])
    report = build(folder, gallery)
    assert report.flagged == (Flagged(str(wrong), ("closer_to_another_subject",)),)


def test_a_photo_of_two_faces_that_stand_out_alike_is_flagged(folder, gallery):
    wide = photo(folder / "ada" / "1.png", RED)
    report = build(folder, gallery, SquareDetector(faces=2))
    assert report.flagged == (Flagged(str(wide), ("several_faces",)),)


def test_a_build_run_again_enrols_only_what_is_new_and_looks_at_nothing_twice(folder, gallery):
    photo(folder / "ada" / "1.png", RED)
    build(folder, gallery)
    photo(folder / "ada" / "2.png", RED, shade=1)
    detector = SquareDetector()
    report = build(folder, gallery, detector)
    assert (report.enrolled, report.already, report.subjects, detector.seen) == (1, 1, 1, 1)
    assert gallery.stats().templates == 2


class PowerCut(Exception):
    pass


def test_an_interrupted_build_keeps_what_it_reported_and_goes_on(folder, path):
    for n in range(70):
        photo(folder / f"p{n:02}" / "1.png", RED, shade=n)

    def cut_power(_: int) -> None:
        raise PowerCut

    with create_gallery(path, SPACE) as gallery, pytest.raises(PowerCut):
        build_gallery(find_people(folder), gallery, SquareDetector(), ColourEmbedder(), report_progress=cut_power)
    with open_gallery(path) as gallery:
        assert gallery.stats().subjects == 32
        report = build(folder, gallery)
        assert (report.already, report.enrolled, gallery.stats().templates) == (32, 38, 70)
        assert gallery.check() == []


def test_a_copy_of_a_photo_is_enrolled_once(folder, gallery):
    photo(folder / "ada" / "1.png", RED)
    photo(folder / "ada" / "copy.png", RED)
    report = build(folder, gallery)
    assert (report.enrolled, report.already, report.skipped) == (1, 1, ())


@pytest.mark.parametrize("at_once", [True, False], ids=["in one run", "in the next run"])
def test_a_photo_of_another_subject_is_not_enrolled_twice(folder, gallery, at_once):
    photo(folder / "ada" / "1.png", RED)
    if not at_once:
        build(folder, gallery)
    photo(folder / "bob" / "wrong.png", RED)
    photo(folder / "bob" / "right.png", GREEN)
    report = build(folder, gallery)
    assert skipped(report) == {"wrong.png": "photo_of_another_subject"}
    assert gallery.stats().templates == 2


def test_a_file_beyond_the_limit_is_refused_and_not_read_to_its_end(folder, gallery):
    large = photo(folder / "ada" / "large.png", RED)
    with large.open("ab") as file:
        file.truncate(10 * 2**30)  # sparse
    photo(folder / "ada" / "small.png", RED)
    limits = ImageLimits(bytes=2**20)
    report = build_gallery(find_people(folder), gallery, SquareDetector(), ColourEmbedder(), limits=limits)
    assert (skipped(report), report.enrolled) == ({"large.png": "image_too_large"}, 1)


def test_a_link_to_nowhere_is_an_unreadable_photo(folder, gallery):
    photo(folder / "ada" / "1.png", RED)
    (folder / "ada" / "link.png").symlink_to(folder / "gone.png")
    assert skipped(build(folder, gallery)) == {"link.png": "photo_unreadable"}


def test_a_folder_whose_name_is_no_subject_id_is_skipped(folder, gallery):
    photo(folder / "ada" / "1.png", RED)
    photo(folder / "new\nline" / "1.png", RED)
    os.mkdir(os.fsencode(folder) + b"/\xff")  # noqa: PTH102 - a Path cannot be made of bytes
    report = build(folder, gallery)
    assert [each.reason for each in report.skipped] == ["subject_invalid", "subject_invalid"]
    assert all(each.path.isprintable() for each in report.skipped[1:])


@pytest.mark.parametrize("person", [None, "ada"], ids=["no folders", "a folder without photos"])
def test_a_folder_without_photos_is_an_error_that_names_it(folder, person):
    folder.mkdir()
    if person:
        (folder / person).mkdir()
    with pytest.raises(NothingToEnrol, match=r"no photos in folder.*people"):
        find_people(folder)


def test_a_folder_that_is_not_there_is_an_error_that_names_it(folder):
    with pytest.raises(PhotoUnreadable, match=r"No such file or directory.*people"):
        find_people(folder)


def test_a_gallery_of_another_space_is_refused_before_anything_is_read(folder, path):
    photo(folder / "ada" / "1.png", RED)
    detector = SquareDetector()
    with create_gallery(path, OTHER_SPACE) as gallery, pytest.raises(SpaceMismatch):
        build(folder, gallery, detector)
    assert detector.seen == 0
    before = path.read_bytes()
    with pytest.raises(SpaceMismatch):
        open_or_create_gallery(path, SPACE)
    assert path.read_bytes() == before


def test_photos_are_counted_as_they_are_dealt_with(folder, gallery):
    for n in range(40):
        photo(folder / "ada" / f"{n}.png", RED if n % 2 else BLACK, shade=n)
    steps: list[int] = []
    build_gallery(find_people(folder), gallery, SquareDetector(), ColourEmbedder(), report_progress=steps.append)
    assert sum(steps) == 40
