"""A collection that is exported and imported is the same collection; what does not belong does not come in."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from faces.errors import SpaceMismatch
from index import audit
from index.dossier import export_subject
from index.errors import (
    CollectionUnknown,
    ExportInvalid,
    GalleryCorrupt,
    GalleryExists,
    GalleryUnavailable,
    SignatureRefused,
    SubjectInvalid,
    SubjectUnknown,
    TemplatesInvalid,
)
from index.exchange import export_collection, import_collection
from index.gallery import LocalGallery, SubjectDetails, create_gallery
from index.parcel import Signer
from index.sealing import KEY
from index.store import Store, create_store
from tests.index.fakes import OTHER_SPACE, SPACE, random_rows, templates
from tests.index.test_parcel import Members, rewrite, sign_again
from tests.index.test_processes import limit_to_its_size

SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
PROBES = random_rows(6, seed=50)
ADA = SubjectDetails(external_id="42", metadata={"floor": 3}, consent="form 7", purpose="door")
IN_A_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


def fill(gallery: LocalGallery) -> LocalGallery:
    gallery.put_subject("ada", name="Ada Lovelace", details=ADA, expires=IN_A_YEAR)
    gallery.enrol("ada", templates(*random_rows(3, seed=1), source="ad" * 32), space=SPACE)
    gallery.enrol("bøb", templates(*random_rows(2, seed=2)), space=SPACE)
    gallery.put_subject("nobody yet")
    gallery.add_negative("ada", random_rows(1, seed=3)[0], space=SPACE, model_id="m")
    return gallery


@pytest.fixture
def exported(gallery, tmp_path) -> Path:
    return export_collection(fill(gallery).store, "default", tmp_path / "people.npz", SIGNER).path


@pytest.fixture
def other(tmp_path) -> Store:
    with create_store(tmp_path / "other.heirloom") as store:
        yield store


def test_an_imported_collection_is_the_one_that_was_exported(gallery, exported, other):
    done = import_collection(other, exported, [SIGNER.public])
    assert (done.collection, done.subjects, done.templates, done.negatives, done.already) == ("default", 3, 5, 1, [])
    came = other.gallery("default")
    assert came.space == gallery.space
    assert came.subjects(9) == gallery.subjects(9)
    assert came.templates("ada") == gallery.templates("ada")
    assert came.search(PROBES, 3, space=SPACE) == gallery.search(PROBES, 3, space=SPACE)
    assert came.check() == []


def test_a_sealed_store_exports_what_another_can_read_and_imports_under_its_own_key(gallery, exported, tmp_path):
    with create_store(tmp_path / "sealed.heirloom", environment={KEY: bytes(range(32)).hex()}) as sealed:
        import_collection(sealed, exported, [SIGNER.public])
        again = export_collection(sealed, "default", tmp_path / "again.npz", SIGNER)
        found = sealed.gallery().search(PROBES, 3, space=SPACE)
    assert found == gallery.search(PROBES, 3, space=SPACE)
    with np.load(again.path) as one, np.load(exported) as two:
        assert (one["embeddings"] == two["embeddings"]).all()


def test_an_import_may_be_given_another_name(exported, other):
    assert import_collection(other, exported, [SIGNER.public], collection="guests").collection == "guests"
    assert [known.name for known in other.collections()] == ["guests"]


def test_subjects_that_are_there_already_are_left_as_they_are_and_listed(exported, other):
    other.create_collection("default", SPACE)
    there = other.gallery()
    there.enrol("ada", templates(random_rows(1, seed=8)[0]), space=SPACE, name="Another Ada")
    done = import_collection(other, exported, [SIGNER.public])
    assert (done.subjects, done.templates, done.negatives, done.already) == (2, 2, 0, ["ada"])
    assert (there.subject("ada").name, there.subject("ada").templates) == ("Another Ada", 1)
    assert import_collection(other, exported, [SIGNER.public]).already == ["ada", "bøb", "nobody yet"]
    assert there.check() == []


def test_a_collection_of_another_space_takes_nothing_in_and_names_the_fields(exported, tmp_path):
    with create_gallery(tmp_path / "other.heirloom", OTHER_SPACE) as there:
        with pytest.raises(SpaceMismatch, match=r"teacher.*crop"):
            import_collection(there.store, exported, [SIGNER.public])
        assert there.subjects(9) == []


def test_an_unsigned_import_makes_no_collection(exported, other):
    with pytest.raises(SignatureRefused):
        import_collection(other, exported, [])
    assert other.collections() == []


def replaced(name: str, old: bytes, new: bytes) -> object:
    def change(held: Members) -> None:
        assert old in held[name]
        held[name] = held[name].replace(old, new)
        sign_again(held)

    return change


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (replaced("subjects.jsonl", b'"b\xc3\xb8b"', b'"ada"'), ExportInvalid),
        (replaced("subjects.jsonl", b'"ada"', b'"a\\nb"'), SubjectInvalid),
        (replaced("subjects.jsonl", b'"Ada Lovelace"', b"7"), ExportInvalid),
        (replaced("subjects.jsonl", b'"floor":3', b'"floor":"%s"' % (b"3" * 20_000)), SubjectInvalid),
        (replaced("subjects.jsonl", b"2027-01-01T00:00:00+00:00", b"tomorrow"), ExportInvalid),
        (replaced("templates.jsonl", b'"subject":1', b'"subject":3'), ExportInvalid),
        (replaced("templates.jsonl", b'"subject":1', b'"subject":-1'), ExportInvalid),
        (replaced("embeddings.npy", random_rows(3, seed=1)[1].astype("<f2").tobytes(), bytes(16)), TemplatesInvalid),
    ],
    ids=["one twice", "a line break", "no name", "too much", "no time", "of nobody", "of nobody before", "no unit row"],
)
def test_what_cannot_be_enrolled_cannot_be_imported_even_when_it_is_signed(exported, other, change, error):
    rewrite(exported, change)
    with pytest.raises(error):
        import_collection(other, exported, [SIGNER.public])
    assert other.collections() == []


def test_an_import_that_there_is_no_room_for_makes_no_collection(gallery, other, tmp_path):
    gallery.enrol("crowd", templates(*random_rows(2000)), space=SPACE)
    crowd = export_collection(gallery.store, "default", tmp_path / "crowd.npz", SIGNER).path
    other.write(limit_to_its_size)
    with pytest.raises(GalleryUnavailable, match="disk is full"):
        import_collection(other, crowd, [SIGNER.public])
    assert other.collections() == []


def test_an_export_never_replaces_a_file_and_leaves_none_when_it_fails(gallery, exported, tmp_path):
    before = exported.read_bytes()
    with pytest.raises(GalleryExists):
        export_collection(gallery.store, "default", exported, SIGNER)
    with pytest.raises(CollectionUnknown):
        export_collection(gallery.store, "guests", tmp_path / "guests.npz", SIGNER)
    with pytest.raises(GalleryUnavailable):
        export_collection(gallery.store, "default", tmp_path / "absent" / "people.npz", SIGNER)
    assert exported.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
    assert not (tmp_path / "guests.npz").exists()


def test_both_are_in_the_log(gallery, exported, other):
    import_collection(other, exported, [SIGNER.public])
    for store, action in ((gallery.store, "export"), (other, "import")):
        (entry,) = store.read(lambda connection, action=action: audit.entries(connection, 9, action=action))
        assert (entry.body["subjects"], entry.body["templates"]) == (3, 5)


# What is held on one person.


def test_all_that_is_held_on_a_subject_is_told_without_embeddings_unless_asked_for(gallery):
    fill(gallery)
    gallery.merge("bøb", "ada")
    held = export_subject(gallery.store, "ada")
    place = held["collections"]["default"]
    assert (place["name"], place["external_id"], place["metadata"]) == ("Ada Lovelace", "42", {"floor": 3})
    assert (place["consent"], place["purpose"], place["expires"]) == ("form 7", "door", "2027-01-01T00:00:00+00:00")
    assert [len(place[kind]) for kind in ("templates", "negatives", "merged_with")] == [5, 1, 1]
    assert place["templates"][0]["source"] == "ad" * 32
    assert "embedding" not in place["templates"][0]
    assert [entry["action"] for entry in held["log"]] == ["put_subject", "enrol", "add_negative"]


def test_embeddings_are_told_when_asked_for(gallery):
    fill(gallery)
    place = export_subject(gallery.store, "ada", embeddings=True)["collections"]["default"]
    assert np.allclose(place["templates"][0]["embedding"], random_rows(3, seed=1)[0], atol=1e-3)
    assert len(place["negatives"][0]["embedding"]) == SPACE.dim


def test_a_subject_of_several_collections_is_told_of_in_each(gallery):
    fill(gallery)
    gallery.store.create_collection("guests", SPACE)
    gallery.store.gallery("guests").put_subject("ada")
    assert sorted(export_subject(gallery.store, "ada")["collections"]) == ["default", "guests"]


def test_what_is_damaged_is_not_told(gallery):
    fill(gallery)
    gallery.store.write(lambda connection: connection.execute("UPDATE negatives SET model_id = 'n'").close())
    with pytest.raises(GalleryCorrupt, match="Negative example 1"):
        export_subject(gallery.store, "ada")


def test_nobody_of_that_id_is_an_error(gallery):
    with pytest.raises(SubjectUnknown):
        export_subject(gallery.store, "mallory")
