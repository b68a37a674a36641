"""`subsets`: a teacher for the people with few photos, another for those with many, and one student."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.errors import DataUnusable, KnobRefused, UnknownName
from kd.losses.subsets import Subsets, subset_of
from tests.kd.losses.parts import SCALE, cosines, cross_entropy, inherited, setting, step, student_rows, unit_rows

LABELS = [3, 1, 0, -1, 2, 4, 3]
FEW, MANY = [1, 2], [3, 4]  # of the classes of parts.PHOTOS; 0 has one photo and no teacher


@pytest.fixture
def theirs():
    """The teachers' answers: none about the person who is nobody's."""
    return unit_rows(7, seed=1).index_fill_(0, torch.tensor([2]), torch.nan)


def divergence(vector, target, classes, temperature):
    """T² × KL over some classes alone."""
    sides = []
    for side in (target, vector):
        exponentials = [math.exp(SCALE / temperature * c) for c in cosines(side, inherited().rows[classes])]
        sides.append([value / sum(exponentials) for value in exponentials])
    return temperature**2 * sum(p * math.log(p / q) for p, q in zip(*sides, strict=True))


def naive(raw, theirs, *, temperature, weight, shares):
    people = [cross_entropy(raw[i], label, inherited().rows) for i, label in enumerate(LABELS) if label >= 0]
    taught = 0.0
    for classes, share in zip((FEW, MANY), shares, strict=True):
        rows = [divergence(raw[i], theirs[i], classes, temperature) for i in range(7) if LABELS[i] in classes]
        taught += share * sum(rows) / len(rows)
    return sum(people) / len(people) + weight * taught


@pytest.mark.parametrize(
    ("knobs", "shares"),
    [
        ({"temperature": 4.0, "weight": 1.0, "weighting": "equal"}, (0.5, 0.5)),
        ({"temperature": 2.0, "weight": 0.3, "weighting": "photos"}, (4 / 74, 70 / 74)),
    ],
    ids=["equal", "by photos"],
)
def test_each_subset_is_taught_among_its_own_people_beside_the_softmax_over_all(theirs, knobs, shares):
    raw = student_rows(7)
    expected = naive(raw, theirs, temperature=knobs["temperature"], weight=knobs["weight"], shares=shares)
    assert Subsets(setting(), **knobs)(step(raw, LABELS, theirs)).item() == pytest.approx(expected)


def test_it_has_the_slopes_of_its_values(theirs):
    loss = Subsets(setting())
    assert gradcheck(lambda raw: loss(step(raw, LABELS, theirs)), student_rows(7).requires_grad_())


def test_no_gradient_reaches_the_teachers():
    theirs = unit_rows(7, seed=1).requires_grad_()
    Subsets(setting())(step(student_rows(7).requires_grad_(), LABELS, theirs)).backward()
    assert theirs.grad is None


def test_a_person_of_no_subset_is_learnt_from_the_classifier_alone(theirs):
    raw = student_rows(7)
    value = Subsets(setting())(step(raw[2:3], [0], theirs[2:3]))
    assert value.item() == pytest.approx(cross_entropy(raw[2], 0, inherited().rows))


def test_a_subset_that_a_batch_does_not_show_adds_nothing(theirs):
    raw = student_rows(7)
    value = Subsets(setting())(step(raw[:1], [3], theirs[:1]))
    taught = 0.5 * divergence(raw[0], theirs[0], MANY, 4.0)
    assert value.item() == pytest.approx(cross_entropy(raw[0], 3, inherited().rows) + taught)


def test_people_belong_to_the_first_subset_that_holds_their_number_of_photos():
    photos = torch.tensor([1, 2, 9, 10, 50, 500])
    assert subset_of(photos, [range(2, 10), range(5, 100)]).tolist() == [-1, 0, 0, 1, 1, -1]


def test_without_subset_teachers_it_cannot_be_built():
    with pytest.raises(UnknownName, match="needs class-subset teachers"):
        Subsets(setting(subsets=()))


def test_a_subset_without_people_is_named():
    with pytest.raises(DataUnusable, match=r"no person has so many photos: '500-999'"):
        Subsets(setting(subsets=(range(1, 10), range(500, 1000))))


@pytest.mark.parametrize("knobs", [{"temperature": 0.0}, {"weight": -1.0}, {"weighting": "x"}], ids=lambda k: min(k))
def test_knobs_are_checked(knobs):
    with pytest.raises(KnobRefused, match=f"not a value for {min(knobs)}"):
        Subsets(setting(), **knobs)


def test_the_parts_of_the_classifier_are_no_part_of_a_checkpoint():
    loss = Subsets(setting())
    assert loss.state_dict() == {}
    assert_close(loss.parts[0].floor, inherited().floor)
