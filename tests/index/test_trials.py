"""Trials: people whose names are known, each a stranger to the Subjects it is compared with."""

import numpy as np
import pytest

from index.gallery import LocalGallery
from index.trials import Mates, Probes, gallery_mates, gallery_trials, miss_rate, probe_trials
from tests.index.fakes import EAST, NORTH, SPACE, UP, direction, templates


def enrol(gallery: LocalGallery, **people: list[np.ndarray]) -> None:
    for name, rows in people.items():
        gallery.enrol(name, templates(*rows), space=SPACE)


def test_each_subject_is_tried_once_with_its_oldest_template_against_all_others(gallery):
    enrol(gallery, ada=[EAST, UP], bob=[direction(1, 1)], cy=[NORTH, direction(0, 1, 1)])
    found = gallery_trials(gallery)
    assert found.people == 3
    assert found.scores == pytest.approx([0.5**0.5, 0.5**0.5, 0.5**0.5], abs=1e-3)
    enrol(gallery, dee=[UP])
    assert gallery_trials(gallery).scores[3] == pytest.approx(1, abs=1e-3)  # ada's other photo


def test_two_who_are_each_others_nearest_are_one_group(gallery):
    enrol(gallery, ada=[EAST], bob=[direction(1, 0.1)], cy=[direction(1, 1)], dee=[UP])
    groups = gallery_trials(gallery).groups
    assert groups[0] == groups[1]
    assert len(set(groups.tolist())) == 3


@pytest.mark.parametrize("people", [{}, {"ada": [EAST, NORTH]}])
def test_without_a_second_subject_nobody_is_tried(gallery, people):
    enrol(gallery, **people)
    found = gallery_trials(gallery)
    assert (found.people, len(found.scores), len(found.groups)) == (0, 0, 0)


def test_of_a_large_gallery_some_are_tried_evenly_from_the_first_to_the_last(gallery):
    enrol(gallery, **{f"s{n}": [direction(1, n)] for n in range(9)})
    assert gallery.ends(3).subject_ids == ["s0", "s4", "s8"]
    assert gallery_trials(gallery, most=3).people == 3


def test_mates_are_the_newest_and_the_oldest_of_a_subject_that_has_several(gallery):
    enrol(gallery, ada=[EAST, UP, direction(1, 1)], bob=[NORTH], cy=[direction(0, 1, 1), direction(0, 1, 1)])
    found = gallery_mates(gallery)
    assert found.own == pytest.approx([0.5**0.5], abs=1e-3)  # not bob, who has one; not cy, who has a copy
    assert found.others == pytest.approx([0.5**0.5], abs=1e-3)


def test_a_probe_is_compared_with_everybody_but_its_own_subject(gallery):
    enrol(gallery, ada=[EAST], bob=[NORTH], cy=[UP])
    rows = np.stack([direction(3, 1), direction(1, 1, 0.5), direction(0, 0.1, 1)])
    found, mates = probe_trials(gallery, Probes(("ada", "zoe", "zoe"), rows))
    brute = rows @ np.stack([EAST, NORTH, UP]).T
    assert found.scores == pytest.approx([brute[0, 1:].max(), brute[1].max(), brute[2].max()], abs=1e-3)
    assert found.people == 2
    assert found.groups[1] == found.groups[2] != found.groups[0]
    assert mates.own == pytest.approx([brute[0, 0]], abs=1e-3)
    assert mates.others == pytest.approx([brute[0, 1]], abs=1e-3)


def test_an_enrolled_person_behind_two_others_is_missed_at_every_threshold(gallery):
    enrol(gallery, ada=[EAST], bob=[NORTH], cy=[direction(0, 1, 0.1)])
    _, mates = probe_trials(gallery, Probes(("ada",), np.stack([direction(0.1, 1)])))
    assert mates.own.tolist() == [-np.inf]
    assert miss_rate(mates, -1.0) == 1


def test_missed_are_those_below_the_threshold_and_those_behind_or_beside_another():
    mates = Mates(np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.1, 0.8, 0.75, -np.inf]))
    assert [miss_rate(mates, t) for t in (0.0, 0.6, 0.61, 0.9, 0.91)] == [0.5, 0.5, 0.75, 0.75, 1]
