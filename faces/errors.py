"""The error tree of the whole project.

FacesError
├── ImageRefused
│   ├── ImageTooLarge       more bytes, pixels or a longer side than allowed
│   ├── ImageTypeRefused    not JPEG, PNG or WebP
│   └── ImageUnreadable     of an allowed type, but damaged
├── WeightsMissing          another package's weight file is not installed
├── WeightsUnreadable       a weight file that does not read as what it should be
├── ModelUnknown            no Model of that name or at that path
├── CardInvalid             a card that is no card, or disagrees with its file
├── SpaceMismatch           embeddings of another Space
├── CacheUnavailable        the folder of rebuilt networks cannot be written
└── DeviceUnavailable       a device that was asked for and is not there

`index`, `kd` and `app` hang their own errors under the same root.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class FacesError(Exception):
    """Something a person can act on: what is wrong, the value it was seen in, and what to do about it.

    The value is an id, a path or a number; never a vector, an image or a person's name.
    """

    code: ClassVar[str] = "faces_error"

    def __init__(self, what: str, value: object, remedy: str) -> None:
        super().__init__(what, value, remedy)  # args intact: survives pickling by workers
        self.what = what
        self.value = value
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}: {self.value!r}. {self.remedy}"

    @property
    def details(self) -> Mapping[str, Any]:
        """What a program needs beside the sentence; JSON-serialisable."""
        return {"value": self.value, "remedy": self.remedy}


class ImageRefused(FacesError):
    code = "image_refused"


class ImageTooLarge(ImageRefused):
    code = "image_too_large"


class ImageTypeRefused(ImageRefused):
    code = "image_type_refused"


class ImageUnreadable(ImageRefused):
    code = "image_unreadable"


class WeightsMissing(FacesError):
    code = "weights_missing"


class WeightsUnreadable(FacesError):
    code = "weights_unreadable"


class ModelUnknown(FacesError):
    code = "model_unknown"


class CardInvalid(FacesError):
    code = "card_invalid"


class SpaceMismatch(FacesError):
    """`value` is the mapping of each differing field to (found, expected)."""

    code = "space_mismatch"

    @property
    def details(self) -> Mapping[str, Any]:
        return {"fields": self.value, "remedy": self.remedy}


class CacheUnavailable(FacesError):
    code = "cache_unavailable"


class DeviceUnavailable(FacesError):
    code = "device_unavailable"
