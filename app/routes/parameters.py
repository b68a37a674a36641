"""What several routes take."""

from typing import Annotated

from fastapi import Depends, File, HTTPException, Path, Query, UploadFile
from starlette.datastructures import UploadFile as Upload

from app.view import Read, Rule

Photo = Annotated[UploadFile, File(description="A photo: JPEG, PNG or WebP.")]
TopK = Annotated[int, Query(ge=1, le=100, description="Candidates for each face.")]
SubjectPath = Annotated[str, Path(min_length=1, max_length=500, description="The id of a Subject.")]
TemplatePath = Annotated[int, Path(ge=1, le=2**63 - 1, description="The id of one of its Templates.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items on a page.")]
Cursor = Annotated[
    str | None, Query(min_length=1, max_length=4096, description="The `next_cursor` of the page before.")
]

Fpir = Annotated[
    float | None,
    Query(
        ge=1e-6,
        lt=1,
        description="Decide by the threshold at which this share of non-enrolled faces is answered with somebody.",
    ),
]
Threshold = Annotated[
    float | None, Query(ge=-1, le=1, description="Decide by this cosine, which stands for no known FPIR.")
]


def bytes_of(upload: Upload) -> Read:
    """Its bytes, as often as they are asked for; meanwhile the form keeps a large photo in a temporary file."""

    def read() -> bytes:
        upload.file.seek(0)
        return upload.file.read()

    return read


async def _rule(fpir: Fpir = None, threshold: Threshold = None) -> Rule:
    if fpir is not None and threshold is not None:
        raise HTTPException(400, "Give `fpir` or `threshold`, not both.")
    return Rule(fpir, threshold)


RuleDep = Annotated[Rule, Depends(_rule)]
