"""A knob with a value that no method could train with is refused before the first step."""

import math

import pytest

from kd.errors import KnobRefused
from kd.losses.knobs import at_least, one_of, positive, within


def test_good_values_pass_as_they_are():
    assert positive("t", 0.1) == 0.1
    assert at_least("w", 0, 0) == 0
    assert (within("m", 0, 0, 1), within("m", 1, 0, 1)) == (0, 1)
    assert one_of("by", "photos", ["equal", "photos"]) == "photos"


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_positive_is_above_zero_and_finite(value):
    with pytest.raises(KnobRefused, match=r"not a value for t: .*\. Give a number above 0\."):
        positive("t", value)


@pytest.mark.parametrize("value", [0.9, math.inf, math.nan])
def test_at_least_is_finite(value):
    with pytest.raises(KnobRefused, match=r"not a value for order: .*\. Give 1 or more\."):
        at_least("order", value, 1)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_within_names_both_ends(value):
    with pytest.raises(KnobRefused, match=r"not a value for m: .*\. Give a number from 0 to 1\."):
        within("m", value, 0, 1)


def test_a_word_that_is_no_choice_is_answered_with_the_choices():
    with pytest.raises(KnobRefused, match=r"not a value for by: 'x'\. Choose from equal, photos\."):
        one_of("by", "x", ["photos", "equal"])


def test_a_whole_number_of_any_size_is_compared():
    assert at_least("hardest", 10**400, 0) == 10**400
