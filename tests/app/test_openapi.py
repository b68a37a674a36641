"""The OpenAPI document, from which clients are made. `python -m tests.app.test_openapi` writes the snapshot anew."""

import json
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.service import create_app
from faces.image import ImageLimits
from tests.app import parts

SNAPSHOT = Path(__file__).with_name("openapi.json")


def document():
    return create_app(None, admission=parts.admission(), limits=ImageLimits()).openapi()


def test_the_document_changes_only_on_purpose():
    assert document() == json.loads(SNAPSHOT.read_text())


def test_every_error_is_documented_in_the_envelope_with_an_example():
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                if status != "200":
                    content = response["content"]["application/json"]
                    assert content["schema"] == {"$ref": "#/components/schemas/ErrorAnswer"}, (path, method, status)
                    assert content["examples"], (path, method, status)


@pytest.mark.parametrize(
    "operation", [(path, method) for path, methods in document()["paths"].items() for method in methods], ids=" ".join
)
def test_whatever_is_sent_the_service_answers_as_documented(url, operation):
    """schemathesis: no 5xx, no undocumented status, no body or header of another shape."""
    path, method = operation
    described = schemathesis.openapi.from_url(f"{url}/openapi.json")[path][method.upper()]

    @hypothesis.given(case=described.as_strategy())
    @hypothesis.settings(max_examples=25, deadline=None, derandomize=True, database=None)
    def check(case):
        case.call_and_validate(excluded_checks=[positive_data_acceptance])  # random bytes are no photo

    check()


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n")
