"""Margins against their formulas as loops, in float64: values, slopes, the ends, and what they remember."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.errors import KnobRefused, UnknownName
from kd.margins import MARGINS, AdaFace, ArcFace, CosFace, CurricularFace, SphereFace, margin_named, turned

EVERY = pytest.mark.parametrize("make", MARGINS.values(), ids=MARGINS)
WITHIN = torch.tensor([-0.999, -0.95, -0.6, -0.1, 0.0, 0.3, 0.72, 0.9, 0.999], dtype=torch.float64)
BEYOND = torch.tensor([-7.3, -1.2, -1.0000001, -1.0, 1.0, 1.0000001], dtype=torch.float64)


def lengths(cosine: torch.Tensor) -> torch.Tensor:
    """From short to long, so that AdaFace's quality takes every value between its ends, and both ends."""
    return torch.linspace(1e-4, 200, len(cosine), dtype=torch.float64)


def of_usual_size(make):
    margin = make(make.usual)
    if isinstance(margin, AdaFace):
        margin.mean.fill_(50), margin.deviation.fill_(10)
    if isinstance(margin, CurricularFace):
        margin.t.fill_(0.3)
    return margin


def naive_angular(cosine, angle):
    if -1 < cosine < 1:
        turned_to = math.acos(cosine) + angle
        if turned_to < 0:
            return 1.0
        if turned_to <= math.pi:
            return math.cos(turned_to)
    return cosine - angle * math.sin(angle)


def naive_psi(cosine, times):
    angle = math.acos(cosine)
    fold = min(int(times * angle / math.pi), int(times) - 1)
    return (-1) ** fold * math.cos(times * angle) - 2 * fold


def naive_adaface(cosine, length, ramp, margin):
    size, length = margin.size * ramp, min(max(length, 0.001), 100)
    quality = min(max(0.333 * (length - float(margin.mean)) / (float(margin.deviation) + 1e-3), -1), 1)
    return naive_angular(cosine, -size * quality) - (size + size * quality)


NAIVE = {
    "adaface": naive_adaface,
    "arcface": lambda cosine, _, ramp, margin: naive_angular(cosine, ramp * margin.size),
    "curricularface": lambda cosine, _, ramp, margin: naive_angular(cosine, ramp * margin.size),
    "cosface": lambda cosine, _, ramp, margin: cosine - ramp * margin.size,
    "sphereface": lambda cosine, _, ramp, margin: (5 / ramp * cosine + naive_psi(cosine, margin.size)) / (1 + 5 / ramp),
}


@pytest.mark.parametrize("ramp", [0.3, 1.0])
@pytest.mark.parametrize("name", MARGINS)
def test_a_margin_is_its_formula(name, ramp):
    margin = of_usual_size(MARGINS[name])
    expected = [NAIVE[name](*row, ramp, margin) for row in zip(WITHIN.tolist(), lengths(WITHIN).tolist(), strict=True)]
    assert_close(margin.target(WITHIN, lengths(WITHIN), ramp), torch.tensor(expected, dtype=torch.float64))


@EVERY
def test_slopes_are_those_of_the_formula(make):
    margin, cosine = of_usual_size(make), torch.cat([WITHIN, BEYOND[:2]])
    assert gradcheck(lambda c: margin.target(c, lengths(c), 0.7), cosine.requires_grad_())


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_the_ends_and_beyond_values_and_slopes_are_finite(make, dtype):
    cosine, margin = BEYOND.to(dtype, copy=True).requires_grad_(), of_usual_size(make)
    target = margin.target(cosine, lengths(cosine).to(dtype), 1.0)
    others = margin.others(cosine[None].expand(len(cosine), -1), target, 1.0)
    (target.sum() + others.sum()).backward()
    for values in (target, others, cosine.grad):
        assert torch.isfinite(values).all()


@EVERY
@pytest.mark.parametrize("length", [1.0, 50.0, 90.0])
def test_a_nearer_face_never_scores_less(make, length):
    cosine, margin = torch.linspace(-3, 1, 4001, dtype=torch.float64), of_usual_size(make)
    slope = margin.target(cosine, torch.full_like(cosine, length), 1.0).diff()
    stops = isinstance(margin, AdaFace) and length > 50  # where a good face's angle would pass 0, as published
    assert (slope >= 0 if stops else slope > 0).all()


@EVERY
def test_before_the_ramp_it_is_the_plain_softmax(make):
    cosine, margin = torch.cat([WITHIN, BEYOND]), of_usual_size(make)
    target = margin.target(cosine, lengths(cosine), 0.0)
    others = cosine[None].expand(len(cosine), -1)
    assert_close(target, cosine)
    assert_close(margin.others(others, target, 0.0), others)


@EVERY
def test_the_whole_margin_takes_more_than_half_of_it(make):
    margin, cosine = of_usual_size(make), torch.tensor([0.5], dtype=torch.float64)
    none, half, whole = (margin.target(cosine, torch.tensor([50.0]), ramp) for ramp in (0.0, 0.5, 1.0))
    assert none > half > whole


@EVERY
def test_other_classes_keep_their_cosines_unless_they_are_hard(make):
    cosines = torch.tensor([[-1.5, -0.2, 0.1, 0.4, 0.8]], dtype=torch.float64)
    margin = of_usual_size(make)
    expected = cosines.clone()
    if make is CurricularFace:
        expected[0, 3:] = torch.tensor([0.4 * (0.3 + 0.4), 0.8 * (0.3 + 0.8)])
    assert_close(margin.others(cosines, torch.tensor([0.3]), 1.0), expected)


def test_hard_classes_have_the_slope_of_the_formula():
    cosines = torch.tensor([[-0.9, 0.4, 0.8], [0.1, -1.5, 0.2]], dtype=torch.float64, requires_grad=True)
    margin = of_usual_size(CurricularFace)
    assert gradcheck(lambda c: margin.others(c, torch.tensor([0.3, -2.0]), 0.6), cosines)


def test_curricularface_remembers_the_mean_of_the_true_cosine():
    margin = CurricularFace(0.5)
    for batch in ([0.2, 0.4], [-3.0, 1.0]):  # the paper's cosine ends at -1
        margin.observe(torch.tensor(batch), torch.ones(2))
    assert float(margin.t) == pytest.approx(0.99 * (0.01 * 0.3) + 0.01 * 0.0)


def test_adaface_remembers_mean_and_deviation_of_the_lengths():
    margin, norms = AdaFace(0.4), torch.tensor([10.0, 20.0, 500.0])
    margin.observe(torch.zeros(3), norms)
    clipped = torch.tensor([10.0, 20.0, 100.0])
    assert float(margin.mean) == pytest.approx(0.99 * 20 + 0.01 * float(clipped.mean()))
    assert float(margin.deviation) == pytest.approx(0.99 * 100 + 0.01 * float(clipped.std()))


@pytest.mark.parametrize("make", [AdaFace, CurricularFace])
def test_a_batch_without_people_is_not_remembered(make):
    margin = make(0.4)
    before = {name: values.clone() for name, values in margin.state_dict().items()}
    margin.observe(torch.zeros(0), torch.zeros(0))
    assert before
    assert margin.state_dict() == before


def test_adaface_learns_nothing_from_one_length_alone():
    margin = AdaFace(0.4)
    margin.observe(torch.zeros(1), torch.ones(1))
    assert (float(margin.mean), float(margin.deviation)) == (20, 100)


def test_no_gradient_reaches_the_length():
    norms = torch.tensor([30.0, 60.0], requires_grad=True)
    assert not of_usual_size(AdaFace).target(torch.tensor([0.1, 0.2]), norms, 1.0).requires_grad


def test_adaface_is_arcface_for_the_poorest_face_and_cosface_for_the_average():
    margin, cosine = of_usual_size(AdaFace), WITHIN[2:-2]
    poorest, average = (margin.target(cosine, torch.full_like(cosine, length), 1.0) for length in (0.001, 50.0))
    assert_close(poorest, ArcFace(margin.size).target(cosine, cosine, 1.0))
    assert_close(average, CosFace(margin.size).target(cosine, cosine, 1.0))


def test_a_margin_can_differ_from_row_to_row():
    sizes = torch.tensor([0.2, 0.5])
    target = ArcFace(sizes).target(torch.tensor([0.6, 0.6]), torch.ones(2), 1.0)
    assert_close(target, torch.tensor([math.cos(math.acos(0.6) + size) for size in sizes.tolist()]))


@pytest.mark.parametrize("angle", [-0.4, 0.4])
def test_a_turn_past_either_end_stops_or_goes_on_falling(angle):
    cosine, shift = torch.tensor([-2.0, -0.99, 0.99, 1.2]), torch.tensor(angle)
    assert_close(turned(cosine, shift)[1:3], torch.tensor([naive_angular(-0.99, angle), naive_angular(0.99, angle)]))
    assert (turned(cosine, shift).diff() >= 0).all()


@pytest.mark.parametrize("size", [0.35, 0.0, 2.5, math.nan, math.inf])
def test_sphereface_wants_a_whole_number(size):
    with pytest.raises(KnobRefused, match=rf"sphereface multiplies the angle by a whole number: {size}"):
        SphereFace(size)


def test_an_unknown_margin_is_answered_with_the_names():
    names = "adaface, arcface, cosface, curricularface, sphereface"
    with pytest.raises(UnknownName, match=rf"no such margin: 'sphere'\. Choose from {names}\."):
        margin_named("sphere")
