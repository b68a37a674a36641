"""What there is to say of a store before it is used."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import faiss
import pytest

from index.access import Grant
from index.errors import GalleryMissing, StoreKeyMissing, StoreKeyWrong
from index.examine import LATEST, examine, format_of, search_facts
from index.gallery import create_gallery
from index.keyring import Keyring
from index.store import create_store
from tests.index.fakes import SPACE, random_rows, templates

GOLDEN = Path(__file__).parent / "golden"
KEY, OTHER_KEY = bytes(range(32)).hex(), bytes(range(1, 33)).hex()


def test_what_is_in_a_store(path):
    rows = random_rows(2, seed=1)
    with create_gallery(path, SPACE) as gallery:
        gallery.enrol("ada", templates(*rows), space=SPACE)
        gallery.set_active_model("small-dlib", started_with="dlib")
        gallery.store.create_collection("staff", SPACE)
        Keyring(gallery.store).create(Grant("a test", ["audit"]), datetime.now(UTC))
    facts = examine(path, {})
    assert (facts.collections, facts.subjects, facts.templates, facts.keys) == (2, 1, 2, 1)
    assert (facts.space_id, facts.active_model, facts.sealed, facts.scrub_pending) == (
        SPACE.space_id, "small-dlib", False, False,
    )  # fmt: skip
    assert datetime.fromisoformat(facts.newest) <= datetime.now(UTC)


def test_a_store_without_the_default_collection_has_no_space_and_no_model(path):
    create_store(path, {"staff": SPACE}, environment={}).close()
    facts = examine(path, {})
    assert (facts.collections, facts.space_id, facts.active_model) == (1, None, None)


def test_a_sealed_store_wants_its_key(path):
    create_store(path, environment={"HEIRLOOM_STORE_KEY": KEY}).close()
    assert examine(path, {"HEIRLOOM_STORE_KEY": KEY}).sealed
    with pytest.raises(StoreKeyMissing):
        examine(path, {})
    with pytest.raises(StoreKeyWrong):
        examine(path, {"HEIRLOOM_STORE_KEY": OTHER_KEY})


def test_the_format_of_each_store_that_was_ever_written(path):
    for golden in GOLDEN.glob("v*.heirloom"):
        shutil.copy(golden, path)
        assert f"v{format_of(path)}" == golden.stem
    create_store(path.with_name("new.heirloom"), environment={}).close()
    assert format_of(path.with_name("new.heirloom")) == LATEST


def test_no_store(path):
    with pytest.raises(GalleryMissing):
        format_of(path)


def test_the_search_engine_has_code_for_the_level_that_it_uses():
    facts = search_facts()
    assert facts.version == faiss.__version__
    assert facts.level in facts.available
    assert facts.threads > 0
