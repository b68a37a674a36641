"""What a service needs of a gallery beside what `index` itself does: who asked, several at once, one Template."""

import pytest

from index import audit
from index.errors import SubjectUnknown, TemplateUnknown
from index.gallery import By, create_gallery
from tests.index.fakes import EAST, NORTH, SPACE, templates


@pytest.fixture
def gallery(tmp_path):
    with create_gallery(tmp_path / "people.heirloom", SPACE) as created:
        created.enrol("ada", templates(EAST, NORTH), space=SPACE)
        created.enrol("bob", templates(NORTH), space=SPACE)
        yield created


def log(gallery, action):
    return gallery.store.read(lambda connection: audit.entries(connection, 100, action=action))


def test_the_log_has_the_key_and_the_request_of_a_change(gallery):
    gallery.enrol("ada", templates(EAST), space=SPACE, actor=By("5f0c77aa9be1", "mine"))
    newest, *older = log(gallery, "enrol")
    assert (newest.actor, newest.body["request_id"]) == ("5f0c77aa9be1", "mine")
    assert {(row.actor, "request_id" in row.body) for row in older} == {("cli", False)}


def test_a_row_that_is_not_waited_for_is_there_when_its_future_says_so(gallery):
    number = gallery.store.audit_soon("k", "identify", collection="default").result()
    assert [row.seq for row in log(gallery, "identify")] == [number]


def test_nobody_is_made_where_only_known_subjects_are_enrolled(gallery):
    with pytest.raises(SubjectUnknown, match="'zoe'"):
        gallery.enrol("zoe", templates(EAST), space=SPACE, known_only=True)
    assert [subject.subject_id for subject in gallery.subjects(9)] == ["ada", "bob"]
    gallery.enrol("ada", templates(EAST), space=SPACE, known_only=True)
    assert gallery.subject("ada").templates == 3


def test_many_are_forgotten_in_one_commit_or_none(gallery):
    with pytest.raises(SubjectUnknown):
        gallery.forget_all(["ada", "zoe"])
    assert gallery.stats().subjects == 2
    assert [(receipt.subject_id, receipt.templates) for receipt in gallery.forget_all(["ada", "bob"])] == [
        ("ada", 2),
        ("bob", 1),
    ]
    assert gallery.stats().templates == 0
    assert gallery.check() == []


def test_many_templates_are_forgotten_in_one_commit_or_none(gallery):
    (first, second), (third,) = ([each.template_id for each in gallery.templates(who)] for who in ("ada", "bob"))
    with pytest.raises(TemplateUnknown):
        gallery.forget_templates([("ada", first), ("ada", third)])
    assert gallery.stats().templates == 3
    assert len(gallery.forget_templates([("ada", first), ("bob", third)])) == 2
    assert [each.template_id for each in gallery.templates("ada")] == [second]
    assert gallery.check() == []


def test_a_probe_is_compared_with_one_template(gallery):
    first, second = (each.template_id for each in gallery.templates("ada"))
    east, north = gallery.compare([EAST, NORTH], second, space=SPACE)
    assert (east.subject_id, east.template_id) == ("ada", second)
    assert (east.score, north.score) == (pytest.approx(0, abs=1e-3), pytest.approx(1, abs=1e-3))
    gallery.add_negative("ada", NORTH, space=SPACE, model_id="m")
    assert gallery.compare([NORTH], first, space=SPACE)[0].negative == pytest.approx(1, abs=1e-3)


def test_a_template_has_an_owner_in_its_own_collection_alone(gallery):
    gallery.store.create_collection("other", SPACE)
    other = gallery.store.gallery("other")
    (own,) = other.enrol("eve", templates(EAST), space=SPACE)
    assert other.owner(own) == "eve"
    for number in (own, 77):
        with pytest.raises(TemplateUnknown):
            gallery.owner(number)
        with pytest.raises(TemplateUnknown):
            gallery.compare([EAST], number, space=SPACE)
