"""Errors that several routes may answer with, as the document shows them."""

from typing import Final

from app.errors import (
    DeadlinePassed,
    FaceNotFound,
    Overloaded,
    RequestInvalid,
    RequestTooLarge,
    WorkerLost,
    WorkerStuck,
)
from faces.errors import ImageTooLarge, ImageTypeRefused, ImageUnreadable, SpaceMismatch
from index.errors import CollectionUnknown, GalleryUnavailable, NotCalibrated, SubjectInvalid, SubjectUnknown

_TOP_K_0: Final = [{"where": "query.top_k", "problem": "Input should be greater than or equal to 1"}]

INVALID: Final = RequestInvalid("the request is not valid", _TOP_K_0, "See /docs for the fields and their ranges.")
TOO_LARGE: Final = RequestTooLarge("bytes in the request", 31_457_280, "Send at most 21037056.")
NOT_STORED: Final = GalleryUnavailable("database or disk is full", "people.heirloom", "Make room.")
NO_COLLECTION: Final = CollectionUnknown("no such collection", "visitors", "GET /v1/collections lists them.")
NO_SUBJECT: Final = SubjectUnknown("no such Subject", "emp-1042", "Check the id that was enrolled.")
BAD_SUBJECT: Final = SubjectInvalid("not a subject id", "emp\\n1042", "Give 1 to 500 characters on one line.")
NO_FACE: Final = FaceNotFound("no face was found in", "image", "Send a photo of one face.")
OTHER_SPACE: Final = SpaceMismatch(
    "embeddings of another Space (field: found, expected)", {"dim": (512, 128)}, "Activate a model of its Space."
)

READING: Final = (INVALID, NO_COLLECTION, GalleryUnavailable("disk I/O error", "people.heirloom", "Check the disk."))
"""Of any route that looks into the gallery."""

WRITING: Final = (INVALID, NO_COLLECTION, NOT_STORED)

COMPUTING: Final = (
    TOO_LARGE,
    Overloaded("too many requests are waiting", 34, "Try again after a moment (Retry-After)."),
    DeadlinePassed("the deadline passed while waiting for", "look", "Try again after a moment (Retry-After)."),
    WorkerLost("the worker of embed died", "SystemExit", "Try again."),
    WorkerStuck("no end of look within so many seconds", 60.0, "Try again."),
)
"""Of any route that has something computed."""

LOOKING: Final = (
    *COMPUTING,
    ImageTooLarge("more than 50000000 pixels", "10000×9000", "Scale the picture down."),
    ImageTypeRefused("neither JPEG, PNG nor WebP, by its first bytes", "25504446", "Convert the picture."),
    ImageUnreadable("JPEG cannot be decoded (truncated)", "250×250", "Send the original again."),
)
"""Of any route that looks at a photo."""

DECIDING: Final = (
    OTHER_SPACE,
    NotCalibrated("no threshold for FPIR 0.001: 320 Subjects are too few", "f535793b94fc41e5", "Enrol more."),
)
"""Of any route that decides."""
