"""One file, many collections, each with its Space."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from faces.errors import SpaceMismatch
from index.errors import CollectionExists, CollectionInvalid, CollectionUnknown, GalleryUnavailable
from index.gallery import open_gallery, open_or_create_gallery
from index.sealing import KEY
from index.store import create_store, open_store
from tests.index.fakes import EAST, NORTH, OTHER_SPACE, SPACE, random_rows, templates


@pytest.fixture
def store(path):
    with create_store(path) as made:
        yield made


def subjects(gallery, probe=EAST, space=SPACE) -> list[str]:
    return [found.subject_id for found in gallery.search(probe[None], 10, space=space)[0]]


def test_a_new_store_has_no_collections(store):
    assert store.collections() == []


def test_collections_do_not_see_each_other(store):
    store.create_collection("guests", SPACE)
    store.create_collection("staff", OTHER_SPACE)
    guests, staff = store.gallery("guests"), store.gallery("staff")
    guests.enrol("ada", templates(EAST), space=SPACE)
    staff.enrol("ada", templates(NORTH, EAST), space=OTHER_SPACE)
    staff.enrol("bob", templates(EAST), space=OTHER_SPACE)
    guests.forget("ada")
    assert subjects(guests) == []
    assert subjects(staff, space=OTHER_SPACE) == ["ada", "bob"]
    assert [(found.name, found.space, found.subjects, found.templates) for found in store.collections()] == [
        ("guests", SPACE, 0, 0),
        ("staff", OTHER_SPACE, 2, 3),
    ]
    assert guests.check() == staff.check() == []


def test_two_galleries_of_one_collection_are_one(store):
    store.create_collection("default", SPACE)
    store.gallery().enrol("ada", templates(EAST), space=SPACE)
    assert subjects(store.gallery()) == ["ada"]


def test_template_ids_are_not_shared_between_collections(store):
    ids = []
    for name in ("a", "b"):
        store.create_collection(name, SPACE)
        ids += store.gallery(name).enrol("ada", templates(EAST), space=SPACE)
    assert len(set(ids)) == 2


def test_a_collection_of_a_name_that_was_deleted_has_another_number(store):
    numbers = []
    for _ in range(2):
        store.create_collection("guests", SPACE)
        numbers.append(store.gallery("guests").number)
        store.delete_collection("guests")
    assert len(set(numbers)) == 2


def test_collections_survive_closing(path):
    with create_store(path, {"one": SPACE, "two": SPACE}) as store:
        store.gallery("two").enrol("ada", templates(EAST), space=SPACE)
        before = store.collections()
    with open_gallery(path, "two") as gallery:
        assert subjects(gallery) == ["ada"]
        assert gallery.store.collections() == before


def test_a_name_is_taken_once_and_must_be_a_name(store):
    store.create_collection("default", SPACE)
    with pytest.raises(CollectionExists, match="'default'"):
        store.create_collection("default", OTHER_SPACE)
    with pytest.raises(CollectionInvalid):
        store.create_collection("a\nb", SPACE)


def test_no_such_collection_is_an_error_that_names_it_and_no_path(store, path):
    with pytest.raises(CollectionUnknown, match="no such collection: 'staff'") as caught:
        store.gallery("staff")
    assert path.name not in str(caught.value)


def test_a_deleted_collection_is_gone_for_good(store, path):
    rows = random_rows(3, seed=1)
    store.create_collection("guests", SPACE)
    gallery = store.gallery("guests")
    gallery.enrol("ada-lovelace", templates(*rows), space=SPACE)
    needles = [b"ada-lovelace", *(row.astype("<f2").tobytes() for row in rows)]
    assert all(needle in everything(path) for needle in needles)
    assert store.delete_collection("guests")
    assert not any(needle in everything(path) for needle in needles)
    assert store.collections() == []
    with pytest.raises(CollectionUnknown):
        gallery.search(EAST[None], 1, space=SPACE)
    with pytest.raises(CollectionUnknown):
        gallery.enrol("bob", templates(EAST), space=SPACE)
    store.create_collection("guests", SPACE)
    assert subjects(store.gallery("guests")) == []


def test_somebody_is_forgotten_though_another_process_deleted_a_collection_that_is_open_here(store, path):
    for name in ("guests", "staff"):
        store.create_collection(name, SPACE)
        store.gallery(name).enrol("ada", templates(EAST), space=SPACE)
    guests, staff = store.gallery("guests"), store.gallery("staff")
    with open_store(path) as other:
        assert other.delete_collection("guests")
    assert staff.forget("ada").erased_at is not None
    with pytest.raises(CollectionUnknown):
        guests.search(EAST[None], 1, space=SPACE)


def test_a_collection_that_is_deleted_while_it_is_asked_for_is_told_by_its_gallery(store):
    class Unlucky:
        """Somebody deletes it the moment it is let go of."""

        def __init__(self, lock):
            self.lock = lock

        def __enter__(self):
            self.lock.acquire()

        def __exit__(self, *_):
            self.lock.release()
            store._opening = self.lock
            store.delete_collection("guests")

    store.create_collection("guests", SPACE)
    store._opening = Unlucky(store._opening)
    gallery = store.gallery("guests")
    with pytest.raises(CollectionUnknown):
        gallery.search(EAST[None], 1, space=SPACE)


def everything(path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*") if file.is_file())


def test_opening_or_creating_adds_the_collection_to_a_store_that_is_there(path):
    open_or_create_gallery(path, SPACE, "one").close()
    with open_or_create_gallery(path, OTHER_SPACE, "two") as gallery:
        assert [found.name for found in gallery.store.collections()] == ["one", "two"]
    with pytest.raises(SpaceMismatch):
        open_or_create_gallery(path, OTHER_SPACE, "one")


def test_who_changed_what_is_in_the_audit_log_without_names(store):
    store.create_collection("default", SPACE, actor="key-1")
    gallery = store.gallery()
    gallery.enrol("ada", templates(EAST, NORTH), space=SPACE, name="Ada Lovelace", actor="key-2")
    gallery.forget("ada", actor="key-3")
    number = store.audit("key-4", "identify", collection="default", body={"faces": 2})
    rows = store.read(lambda c: c.execute("SELECT seq, actor, action, subject, body FROM audit").fetchall())
    ada = store.digest_of("ada")
    assert len(ada) == 32
    assert rows == [
        (1, "key-1", "create_collection", "", f'{{"space_id":"{SPACE.space_id}"}}'),
        (2, "key-2", "enrol", ada, '{"templates":2}'),
        (3, "key-3", "forget", ada, '{"numbers":["1"],"templates":2}'),
        (number, "key-4", "identify", "", '{"faces":2}'),
    ]
    assert gallery.check() == []


def test_a_write_that_fails_leaves_no_audit_row(store):
    store.create_collection("default", SPACE)
    before = store.read(lambda c: c.execute("SELECT count(*) FROM audit").fetchone())
    with pytest.raises(Exception, match="no such Subject"):
        store.gallery().forget("nobody")
    assert store.read(lambda c: c.execute("SELECT count(*) FROM audit").fetchone()) == before


def test_a_closed_store_says_so(path):
    store = create_store(path, {"default": SPACE})
    gallery = store.gallery()
    store.close()
    store.close()
    for act in (lambda: gallery.search(EAST[None], 1, space=SPACE), lambda: gallery.forget("ada")):
        with pytest.raises(GalleryUnavailable, match="closed"):
            act()


def test_many_threads_enrol_at_once(store):
    store.create_collection("default", SPACE)
    gallery, rows = store.gallery(), random_rows(64, seed=3)

    def enrol(number: int) -> list[int]:
        ids = gallery.enrol(f"s{number}", templates(rows[number]), space=SPACE)
        assert f"s{number}" in subjects(gallery, rows[number])
        return ids

    with ThreadPoolExecutor(16) as pool:
        ids = [number for found in pool.map(enrol, range(len(rows))) for number in found]
    assert sorted(ids) == list(range(1, 65))
    assert gallery.check() == []


def test_a_sealed_store_answers_like_another_and_holds_no_embedding(path):
    key = {KEY: "k5J8oXb1Nq0Zt3m7yV2cLw9RfUeHsGpAdTxQiKvMzY4="}
    rows = random_rows(4, seed=5)
    with create_store(path, {"default": SPACE}, environment=key) as store:
        gallery = store.gallery()
        gallery.enrol("ada", templates(*rows[:2]), space=SPACE)
        gallery.enrol("eve", templates(rows[2]), space=SPACE)
        gallery.add_negative("ada", rows[3], space=SPACE, model_id="m")
        gallery.merge("eve", "ada")
        gallery.compact()
        before = gallery.search(rows, 3, space=SPACE)
        assert gallery.check() == []
        assert not any(row.astype("<f2").tobytes() in everything(path) for row in rows)
        assert not path.with_name(path.name + ".cache").exists()
    with open_store(path, environment=key) as store:
        assert store.gallery().search(rows, 3, space=SPACE) == before
    assert before[3][0].negative == pytest.approx(1.0)
    assert before[0][0].score == pytest.approx(1.0)
