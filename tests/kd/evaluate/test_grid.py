"""The 2×2, on embeddings made by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from kd.evaluate.grid import judge_pairs, judge_search, judgement
from kd.evaluate.readers import open_protocol
from tests.kd.evaluate.parts import direction

PAIRS = "photo_a,photo_b,same,fold\na1,a2,1,0\na1,b1,0,0\nb1,b2,1,1\nb1,c1,0,1\n"
IDENTIFICATION = """photo,subject,role
a1,ada,gallery
b1,bob,gallery
a2,ada,probe
b2,bob,probe
c1,cy,nonmated
d1,dan,distractor
"""
FACES = {
    "a1": direction(1, 0, 0),
    "a2": direction(1, 0.1, 0),
    "b1": direction(0, 1, 0),
    "b2": direction(0, 1, 0.1),
    "c1": direction(0, 0, 1),
    "d1": direction(0, 0, -1),
}
TURNED = {photo: row[[1, 0, 2]] for photo, row in FACES.items()}  # ada and bob change places


@pytest.fixture
def protocol(tmp_path):
    (tmp_path / "dev_pairs.csv").write_text(PAIRS)
    (tmp_path / "dev_identification.csv").write_text(IDENTIFICATION)
    return open_protocol(str(tmp_path), tmp_path)


def without(photo):
    return {other: row for other, row in FACES.items() if other != photo}


def judge(protocol, teacher, student=None, *, probes=None):
    """(1:1, the search without distractors, with them); probes: by each model at another resolution."""
    judged = judgement(protocol, resamples=20, seed=0)

    def sides(teacher, student):
        named = {"T": teacher, "S": student}
        folder = protocol.photos([0])[0].rsplit("/", 1)[0]
        told = {side: {f"{folder}/{photo}": row for photo, row in rows.items()} for side, rows in named.items() if rows}
        return judged.sides(told, 3)

    gallery = sides(teacher, student)
    shown, pixels = (gallery, None) if probes is None else (sides(*probes), 28)
    (pairs,) = protocol.pairs
    searches = [judge_search(judged, search, shown, gallery, pixels) for search in protocol.searches]
    return judge_pairs(judged, pairs, shown, gallery, pixels), *searches


def rank1(search, cell="T→T"):
    return search.cells[cell].rank["1"].value


def test_a_perfect_model_is_perfect(protocol):
    pairs, *searches = judge(protocol, FACES)
    assert pairs.cells["T→T"].accuracy.value == 1
    for search in searches:
        assert (rank1(search), search.cells["T→T"].fnir["0.1"].rate.value) == (1, 0)


def test_distractors_enlarge_the_gallery(protocol):
    _, small, large = judge(protocol, FACES)
    assert (small.subjects, large.subjects) == (2, 3)
    assert (small.key.endswith("-2"), large.key.endswith("-3")) == (True, True)


def test_a_probe_without_a_face_is_a_miss_not_absent(protocol):
    _, search, _ = judge(protocol, without("a2"))
    assert (search.mated, rank1(search), search.cells["T→T"].fnir["0.1"].rate.value) == (2, 0.5, 0.5)


def test_a_subject_whose_gallery_photo_has_no_face_is_still_enrolled(protocol):
    _, search, _ = judge(protocol, without("a1"))
    assert (search.subjects, rank1(search)) == (2, 0.5)


def test_a_teacher_alone_has_one_cell_and_no_comparison(protocol):
    _, search, _ = judge(protocol, FACES)
    assert (list(search.cells), search.comparison) == (["T→T"], None)


def test_the_cell_tells_which_probes_and_which_gallery(protocol):
    pairs, search, _ = judge(protocol, FACES, TURNED)
    assert [rank1(search, cell) for cell in ("T→T", "S→T", "S→S", "T→S")] == [1, 0, 1, 0]
    assert [cell.accuracy.value for cell in pairs.cells.values()] == [1, 0.5, 1, 0.5]


def test_a_student_of_another_space_retains_nothing(protocol):
    _, search, _ = judge(protocol, FACES, TURNED)
    compared = search.comparison
    assert (compared.retention.value, compared.self_retention.value) == (0, 1)
    assert (compared.gain.value, compared.flips.value) == (-1, 1)


def test_the_teacher_as_its_own_student_loses_nothing(protocol):
    _, search, _ = judge(protocol, FACES, FACES)
    compared = search.comparison
    assert (compared.retention, compared.gain.value, compared.flips.value) == (compared.self_retention, 0, 0)
    assert (compared.retention.value, compared.retention.low, compared.retention.high) == (1, 1, 1)
    assert (compared.shift.mean, compared.shift.quantile) == (0, 0)
    for fpir, transfer in compared.transfer.items():
        assert transfer.threshold == search.cells["T→T"].fnir[fpir].threshold.value
        assert (transfer.fpir.value, transfer.fnir) == (0, search.cells["T→T"].fnir[fpir].rate)


def test_at_the_teachers_threshold_a_student_that_scores_higher_lets_strangers_in(protocol):
    strangers_near = {**FACES, "c1": direction(1, 0, 0.5)}
    _, search, _ = judge(protocol, FACES, strangers_near)
    compared = search.comparison
    assert compared.transfer["0.1"].fpir.value == 1  # cy is answered with ada; the teacher answers with nobody
    assert search.cells["S→T"].fnir["0.1"].rate.value == 0  # at a threshold of its own it need not
    assert compared.shift.mean > 0


def test_probes_lose_resolution_and_the_gallery_does_not(protocol):
    blurred = {**FACES, "a2": direction(0, 1, 0), "b1": direction(1, 0, 0), "d1": direction(0, 1, 0)}
    _, search, _ = judge(protocol, FACES, probes=(blurred, None))
    assert (search.pixels, rank1(search)) == (
        28,
        0.5,
    )  # ada's probe is lost; bob's enrolled photo is not the blurred one


def test_a_closed_set_reports_no_false_alarms(protocol):
    (search, _), (a2, b2) = protocol.searches, protocol.searches[0].probes[:2]
    closed = replace(protocol, searches=(replace(search, probes=np.array([a2, b2])),))
    _, judged = judge(closed, FACES, TURNED)
    assert (judged.non_mated, judged.cells["T→T"].fnir, judged.comparison.transfer) == (0, {}, {})


def test_nothing_found_by_the_teacher_leaves_no_retention(protocol):
    _, search, _ = judge(protocol, {"c1": FACES["c1"]}, FACES)
    assert rank1(search) == 0
    assert math.isnan(search.comparison.retention.value)
