"""docs/api.md tells the truth about fields, addresses and codes."""

import re
from pathlib import Path

import pytest

from app.envelope import STATUS
from app.schemas import ErrorAnswer, IdentifyAnswer, ModelsAnswer
from tests.app.test_openapi import document

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


def test_each_example_is_a_whole_answer():
    for kind, example in zip((IdentifyAnswer, ModelsAnswer, ErrorAnswer), EXAMPLES, strict=True):
        kind.model_validate_json(example, extra="forbid")


@pytest.mark.parametrize("path", list(document()["paths"]))
def test_each_address_is_there(path):
    assert path in PAGE


@pytest.mark.parametrize(("kind", "status"), list(STATUS.items()), ids=lambda value: getattr(value, "code", ""))
def test_each_code_is_there_with_its_status(kind, status):
    codes = {kind.code, *(below.code for below in kind.__subclasses__())}
    rows = [row for row in PAGE.splitlines() if row.startswith(f"| {status} |")]
    assert any(f"`{code}`" in row for row in rows for code in codes)
