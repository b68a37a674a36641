"""`stkd`: virtual faces, blends of two people."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd.errors import KnobRefused
from kd.losses.proxyless import Proxyless
from kd.losses.stkd import Stkd
from tests.kd.losses.parts import MARGIN, cosines, cross_entropy, inherited, setting, step, student_rows, unit_rows

FIRST = [0, 1, -1, 4, -1, 2]
SECOND = [2, 3, 1, -1, -1, -1]
SHARE = [0.9, 0.5, 0.8, 0.6, 0.75, 1.0]


def people(raw):
    """share·CE(first) + (1 - share)·CE(second), face by face; what is not known is not there."""
    losses, rows = [], inherited().rows
    for i, share in enumerate(SHARE):
        margin = 0.0 if 0.3 < share < 0.7 else MARGIN
        sides = [(FIRST[i], share), (SECOND[i], 1 - share)]
        known = [part * cross_entropy(raw[i], who, rows, margin=margin) for who, part in sides if who >= 0 and part > 0]
        losses += [sum(known)] if known else []
    return sum(losses) / len(losses)


def likeness(raw, theirs):
    """1 - cos in the width of the cone, which is 1 - the stretched cosine."""
    return sum(1 - cosines(a, b[None])[0] for a, b in zip(raw, theirs, strict=True)) / len(raw)


def batch(raw, theirs):
    return step(raw, FIRST, theirs, second=SECOND, share=SHARE)


@pytest.mark.parametrize("beta", [0.0, 1.0, 3.0])
def test_a_blend_is_both_people_by_their_share_and_the_teachers_embedding(beta):
    raw, theirs = student_rows(6), unit_rows(6, seed=1)
    value = Stkd(setting(), beta=beta)(batch(raw, theirs))
    assert value.item() == pytest.approx(people(raw) + beta * likeness(raw, theirs), rel=1e-6)  # shares are float32


def test_it_has_the_slopes_of_its_values():
    loss, theirs = Stkd(setting()), unit_rows(6, seed=1)
    assert gradcheck(lambda raw: loss(batch(raw, theirs)), student_rows(6).requires_grad_())


def test_an_even_blend_has_no_margin():
    raw, theirs = student_rows(1), unit_rows(1, seed=1)
    even, uneven = (step(raw, [0], theirs, second=[1], share=[share]) for share in (0.6, 0.8))
    harder = Stkd(setting(), beta=0.0)
    lenient = Stkd(setting(), beta=0.0)
    lenient.margin.size = 0.0
    assert_close(harder(even), lenient(even))
    assert harder(uneven) > lenient(uneven)


def test_faces_that_are_not_blended_are_proxyless():
    raw, theirs = student_rows(3), unit_rows(3, seed=1)
    plain = step(raw, [0, -1, 2], theirs)
    assert_close(Stkd(setting(), beta=0.0)(plain), Proxyless(setting())(plain))


def test_a_blend_of_strangers_still_learns_from_the_teacher():
    raw, theirs = student_rows(1), unit_rows(1, seed=1)
    strangers = step(raw, [-1], theirs, second=[-1], share=[0.5])
    assert Stkd(setting())(strangers).item() == pytest.approx(likeness(raw, theirs))


def test_a_blend_without_a_teacher_still_learns_from_its_people():
    raw, unanswered = student_rows(6), torch.full((6, 4), torch.nan, dtype=torch.float64)
    assert Stkd(setting())(batch(raw, unanswered)).item() == pytest.approx(people(raw))


def test_beta_is_not_negative():
    with pytest.raises(KnobRefused, match="not a value for beta"):
        Stkd(setting(), beta=-0.5)
