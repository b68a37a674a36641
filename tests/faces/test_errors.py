"""The error tree: what, value, remedy, and a code that programs can rely on."""

import pickle

import pytest

from faces.errors import FacesError, ImageTooLarge, SpaceMismatch


def every_error(root=FacesError):
    """Of `faces` alone: other packages hang theirs under the same root."""
    branches = [child for child in root.__subclasses__() if child.__module__ == "faces.errors"]
    return [root, *(error for child in branches for error in every_error(child))]


def test_the_codes_are_these():
    assert {error.__name__: error.code for error in every_error()} == {
        "FacesError": "faces_error",
        "ImageRefused": "image_refused",
        "ImageTooLarge": "image_too_large",
        "ImageTypeRefused": "image_type_refused",
        "ImageUnreadable": "image_unreadable",
        "WeightsMissing": "weights_missing",
        "WeightsUnreadable": "weights_unreadable",
        "ModelUnknown": "model_unknown",
        "CardInvalid": "card_invalid",
        "SpaceMismatch": "space_mismatch",
        "CacheUnavailable": "cache_unavailable",
        "DeviceUnavailable": "device_unavailable",
    }


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_an_error_says_what_value_and_remedy_and_survives_a_worker(kind):
    error = kind("too much of it", 7, "Send less.")
    assert str(error) == "too much of it: 7. Send less."
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is kind
    assert (again.what, again.value, again.remedy) == ("too much of it", 7, "Send less.")


def test_details_are_for_programs():
    assert ImageTooLarge("w", 7, "r").details == {"value": 7, "remedy": "r"}
    assert SpaceMismatch("w", {"dim": (1, 2)}, "r").details == {"fields": {"dim": (1, 2)}, "remedy": "r"}
