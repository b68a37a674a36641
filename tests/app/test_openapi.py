"""The OpenAPI document, from which clients are made. `python -m tests.app.test_openapi` writes the snapshot anew."""

import json
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from app.security import Access
from app.service import create_app
from app.trust import Trust
from faces.image import ImageLimits
from index.access import SCOPES
from index.keyring import Keyring
from tests.app import parts

SNAPSHOT = Path(__file__).with_name("openapi.json")


def document():
    return create_app(None, admission=parts.admission(), limits=ImageLimits()).openapi()


DOCUMENT = document()


def test_the_document_changes_only_on_purpose():
    assert document() == json.loads(SNAPSHOT.read_text())


def test_every_error_is_documented_in_the_envelope_with_an_example():
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                if not status.startswith("2"):
                    content = response["content"]["application/json"]
                    assert content["schema"] == {"$ref": "#/components/schemas/ErrorAnswer"}, (path, method, status)
                    assert content["examples"], (path, method, status)


def test_what_needs_a_key_says_so_and_how_to_send_it():
    described = document()
    assert set(described["components"]["securitySchemes"]) == {"bearer", "x-api-key"}
    for path, methods in described["paths"].items():
        for operation in methods.values():
            asked = operation.get("security")
            assert asked == (None if path in ("/healthz", "/readyz") else [{"bearer": []}, {"x-api-key": []}]), path


@pytest.fixture
def locked(engine, gallery_path):
    """The URL of a service that asks for keys, and a key for all of it."""
    token = parts.make_key(gallery_path, *SCOPES)
    keyring, now = Keyring(engine.gallery.store), partial(datetime.now, UTC)
    access = Access(keyring, open_allowed=False, rate=None, now=now, ticks=time.monotonic)
    trust = Trust(access, exposed=False)
    app = create_app(engine, admission=parts.admission(), limits=ImageLimits(), trust=trust, paths_allowed=True)
    with parts.served(app) as url:
        yield url, token


@pytest.mark.parametrize(
    "operation", [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods], ids=" ".join
)
def test_whatever_is_sent_the_service_answers_as_documented(locked, operation):
    """schemathesis: no 5xx, no undocumented status, no body or header of another shape, nothing without a key."""
    path, method = operation
    url, token = locked
    described = schemathesis.openapi.from_dict(DOCUMENT)[path][method.upper()]

    examples = 5 if "{collection}/" in path else 25  # these are the others under another prefix

    @hypothesis.given(case=described.as_strategy())
    @hypothesis.settings(max_examples=examples)
    def check(case):
        case.headers.pop("x-timeout", None)  # in too short a time there is no answer but 503, which counts as a failure
        excluded = [positive_data_acceptance, ignored_auth]  # random bytes are no photo, and our key is not made up
        case.call_and_validate(url, headers={"x-api-key": token}, excluded_checks=excluded, timeout=parts.PATIENCE)

    check()


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n")
