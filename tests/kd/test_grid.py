"""Protocols and the 2×2, on embeddings made by hand."""

import numpy as np
import pytest

from kd.errors import ProtocolInvalid
from kd.evaluate.grid import cells
from kd.evaluate.protocol import find_protocol

PAIRS = "photo_a,photo_b,same,fold\na1,a2,1,0\na1,b1,0,0\nb1,b2,1,1\nb1,c1,0,1\n"
IDENTIFICATION = """photo,subject,role
a1,ada,gallery
b1,bob,gallery
a2,ada,probe
b2,bob,probe
c1,cy,nonmated
d1,dan,distractor
"""


def direction(*values):
    return np.array(values, dtype=np.float32) / np.linalg.norm(values)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dev_pairs.csv").write_text(PAIRS)
    (tmp_path / "dev_identification.csv").write_text(IDENTIFICATION)
    return tmp_path


@pytest.fixture
def faces():
    return {
        "a1": direction(1, 0, 0),
        "a2": direction(1, 0.1, 0),
        "b1": direction(0, 1, 0),
        "b2": direction(0, 1, 0.1),
        "c1": direction(0, 0, 1),
        "d1": direction(0, 0, -1),
    }


def test_a_perfect_model_is_perfect(folder, faces):
    for subjects, cell in cells(find_protocol(folder), faces, faces).items():
        assert (cell.subjects, cell.pairs, cell.rank1, cell.fnir) == (subjects, 1.0, 1.0, {"0.1": 0.0, "0.01": 0.0})


def test_distractors_enlarge_the_gallery(folder, faces):
    assert list(cells(find_protocol(folder), faces, faces)) == [2, 3]


def test_a_probe_without_a_face_is_a_miss_not_absent(folder, faces):
    probes = {photo: row for photo, row in faces.items() if photo != "a2"}
    cell = cells(find_protocol(folder), probes, faces)[2]
    assert (cell.mated, cell.rank1, cell.fnir["0.1"]) == (2, 0.5, 0.5)


def test_a_subject_whose_gallery_photo_has_no_face_is_still_enrolled(folder, faces):
    gallery = {photo: row for photo, row in faces.items() if photo != "a1"}
    cell = cells(find_protocol(folder), faces, gallery)[2]
    assert (cell.subjects, cell.rank1) == (2, 0.5)


def test_the_cell_tells_which_probes_and_which_gallery(folder, faces):
    turned = {photo: row[[1, 0, 2]] for photo, row in faces.items()}  # ada and bob change places
    assert cells(find_protocol(folder), turned, faces)[2].rank1 == 0.0
    assert cells(find_protocol(folder), turned, turned)[2].rank1 == 1.0


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("dev_pairs.csv", "a,b\n", "unexpected columns"),
        ("dev_identification.csv", "photo,subject,role\nx,y,visitor\n", "no such role: 'visitor'"),
        ("dev_identification.csv", "photo,subject,role\na1,ada,gallery\n", "no photo has the role probe"),
    ],
)
def test_a_protocol_that_does_not_read_is_named(folder, file, text, said):
    (folder / file).write_text(text)
    with pytest.raises(ProtocolInvalid, match=said):
        find_protocol(folder)


def test_a_folder_without_a_protocol_says_what_one_is(tmp_path):
    with pytest.raises(ProtocolInvalid, match=r"found nothing.*identification\.csv"):
        find_protocol(tmp_path)


def test_pairs_may_be_absent(folder, faces):
    (folder / "dev_pairs.csv").unlink()
    assert cells(find_protocol(folder), faces, faces)[2].pairs is None
