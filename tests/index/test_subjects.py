"""Subjects: what is known of them, page by page, merged, told apart from others, and gone when their time has come."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from unittest.mock import Mock

import numpy as np
import pytest

from faces.errors import SpaceMismatch
from index.errors import (
    GalleryCorrupt,
    MergeImpossible,
    MergeUnknown,
    NegativeUnknown,
    ProbesInvalid,
    SubjectExists,
    SubjectInvalid,
    SubjectUnknown,
    TemplatesInvalid,
    TemplateUnknown,
)
from index.gallery import Candidate, SubjectDetails, Template, open_gallery
from index.threshold import Threshold, decide
from tests.index.fakes import EAST, NORTH, OTHER_SPACE, SPACE, TEACHER_ID, UP, cosine, direction, random_rows, templates

DETAILS = SubjectDetails("hr-17", {"floor": 3, "badge": "é"}, "consent/2026/17", "door 1")
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


def found(gallery, probe, k=10) -> list[Candidate]:
    return gallery.search(probe[None], k, space=SPACE)[0]


def ids(gallery, probe) -> list[str]:
    return [candidate.subject_id for candidate in found(gallery, probe)]


class TestDetails:
    def test_a_subject_is_put_without_templates_and_read_back(self, gallery, path):
        put = gallery.put_subject("ada", name="Ada Lovelace", details=DETAILS, expires=NEW_YEAR)
        assert (put.subject_id, put.name, put.details, put.templates) == ("ada", "Ada Lovelace", DETAILS, 0)
        assert put.expires == "2027-01-01T00:00:00+00:00"
        gallery.close()
        with open_gallery(path) as reopened:
            assert reopened.subject("ada") == put
            assert reopened.stats().subjects == 1
            assert reopened.check() == []

    def test_it_is_named_after_its_id_until_it_has_a_name(self, gallery):
        assert gallery.put_subject("ada").name == "ada"

    def test_an_id_is_put_once(self, gallery):
        gallery.enrol("ada", templates(EAST), space=SPACE)
        with pytest.raises(SubjectExists, match="'ada'"):
            gallery.put_subject("ada")

    def test_an_update_changes_what_is_given_alone(self, gallery):
        gallery.put_subject("ada", name="Ada", details=DETAILS, expires=NEW_YEAR)
        gallery.enrol("ada", templates(EAST), space=SPACE)
        assert gallery.update_subject("ada", name="Ada King").details == DETAILS
        updated = gallery.update_subject("ada", details=lambda _: SubjectDetails())
        assert (updated.name, updated.details, updated.expires) == (
            "Ada King",
            SubjectDetails(),
            "2027-01-01T00:00:00+00:00",
        )
        assert gallery.update_subject("ada", expires=None).expires is None
        assert found(gallery, EAST)[0].name == "Ada King"

    def test_details_that_many_revise_at_once_lose_nothing(self, gallery):
        def count(number: int) -> None:
            gallery.update_subject(
                "ada", details=lambda known: replace(known, metadata=known.metadata | {str(number): number})
            )

        gallery.put_subject("ada", details=SubjectDetails(consent="form 1"))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(count, range(24)))
        details = gallery.subject("ada").details
        assert details == SubjectDetails(consent="form 1", metadata={str(number): number for number in range(24)})

    def test_every_change_raises_the_version(self, gallery):
        versions = [gallery.stats().version]
        for act in (
            lambda: gallery.put_subject("ada"),
            lambda: gallery.update_subject("ada", name="Ada"),
            lambda: gallery.add_negative("ada", UP, space=SPACE, model_id="m"),
            lambda: gallery.forget("ada"),
        ):
            act()
            versions.append(gallery.stats().version)
        assert versions == sorted(set(versions))

    @pytest.mark.parametrize(
        "details",
        [
            SubjectDetails(external_id="a\nb"),
            SubjectDetails(metadata={"vector": EAST}),
            SubjectDetails(metadata={"x": float("nan")}),
            SubjectDetails(metadata={"x": "y" * 30_000}),
            SubjectDetails(metadata={"x": "\ud800"}),
        ],
        ids=["two lines", "not JSON", "not a number", "too long", "not text"],
    )
    def test_what_cannot_be_stored_is_refused(self, gallery, details):
        with pytest.raises(SubjectInvalid):
            gallery.put_subject("ada", details=details)
        assert gallery.stats().subjects == 0

    def test_a_time_without_its_zone_is_refused(self, gallery):
        with pytest.raises(SubjectInvalid, match="zone"):
            gallery.put_subject("ada", expires=datetime(2027, 1, 1))  # noqa: DTZ001 - the point

    def test_nobody_is_an_error_that_names_them(self, gallery):
        for act in (gallery.subject, gallery.update_subject, gallery.templates, gallery.negatives):
            with pytest.raises(SubjectUnknown, match="'zoe'"):
                act("zoe")


def test_pages_hold_every_subject_once_in_order_of_ids(gallery):
    names = [f"s{n:02}" for n in np.random.default_rng(1).permutation(23)]
    for name in names:
        gallery.put_subject(name)
    pages, after = [], None
    while page := gallery.subjects(5, after):
        pages.append([subject.subject_id for subject in page])
        after = page[-1].subject_id
    assert [name for page in pages for name in page] == sorted(names)
    assert [len(page) for page in pages] == [5, 5, 5, 5, 3]
    assert gallery.subjects(5, "s21x") == [gallery.subject("s22")]


class TestTemplates:
    def test_they_are_listed_oldest_first_with_all_but_the_embedding(self, gallery):
        first, second = gallery.enrol(
            "ada", [Template(EAST, "m1", "aa" * 32, ("blurred",)), Template(NORTH, "m2")], space=SPACE
        )
        one, two = gallery.templates("ada")
        assert (one.template_id, one.model_id, one.source, one.quality) == (first, "m1", "aa" * 32, ("blurred",))
        assert (two.template_id, two.model_id, two.source, two.quality) == (second, "m2", "", ())
        assert datetime.fromisoformat(one.created).tzinfo is not None

    def test_one_is_forgotten_and_the_others_stay(self, gallery, path):
        one, other = random_rows(2, seed=6)
        first, second = gallery.enrol("ada", templates(one, other), space=SPACE)
        assert one.astype("<f2").tobytes() in everything(path)
        receipt = gallery.forget_template("ada", first)
        assert (receipt.subject_id, receipt.templates, receipt.erased_at is None) == ("ada", 1, False)
        assert [info.template_id for info in gallery.templates("ada")] == [second]
        assert found(gallery, one)[0].template_id == second
        assert one.astype("<f2").tobytes() not in everything(path)
        assert gallery.stats().templates == 1

    def test_a_subject_stays_when_its_last_template_goes(self, gallery):
        (only,) = gallery.enrol("ada", templates(EAST), space=SPACE)
        gallery.forget_template("ada", only)
        assert gallery.subject("ada").templates == 0
        assert found(gallery, EAST) == []

    def test_another_subjects_template_is_not_its_own(self, gallery):
        gallery.enrol("ada", templates(EAST), space=SPACE)
        (of_bob,) = gallery.enrol("bob", templates(NORTH), space=SPACE)
        with pytest.raises(TemplateUnknown, match=str(of_bob)):
            gallery.forget_template("ada", of_bob)
        assert gallery.stats().templates == 2


class TestOneToOne:
    def test_the_best_template_of_one_subject_answers_for_each_probe(self, gallery):
        rows = random_rows(12, seed=3)
        gallery.enrol("ada", templates(*rows[:5]), space=SPACE, name="Ada")
        gallery.enrol("bob", templates(*rows[5:]), space=SPACE)
        for probe, best in zip(rows, gallery.best(rows, "ada", space=SPACE), strict=True):
            scores = [cosine(row, probe) for row in rows[:5]]
            assert (best.subject_id, best.name, best.score) == ("ada", "Ada", max(scores))
            assert best.template_id == 1 + int(np.argmax(scores))

    def test_equal_templates_go_to_the_older(self, gallery):
        first, _ = gallery.enrol("ada", templates(EAST, EAST), space=SPACE)
        assert gallery.best(EAST[None], "ada", space=SPACE)[0].template_id == first

    def test_a_subject_without_templates_is_like_nobody(self, gallery):
        gallery.put_subject("ada")
        assert gallery.best(random_rows(2), "ada", space=SPACE) == [None, None]

    def test_what_a_search_refuses_is_refused(self, gallery):
        gallery.put_subject("ada")
        with pytest.raises(SpaceMismatch):
            gallery.best(EAST[None], "ada", space=OTHER_SPACE)
        with pytest.raises(ProbesInvalid):
            gallery.best(2 * EAST[None], "ada", space=SPACE)
        with pytest.raises(SubjectUnknown):
            gallery.best(EAST[None], "bob", space=SPACE)


class TestNegatives:
    AT = Threshold(0.5, 0.01, 2, TEACHER_ID, "user", "2026-01-01")

    def test_a_candidate_says_how_near_the_probe_is_to_what_it_is_not(self, gallery):
        gallery.enrol("ada", templates(EAST), space=SPACE)
        assert found(gallery, EAST)[0].negative is None
        gallery.add_negative("ada", direction(1, 1), space=SPACE, model_id=TEACHER_ID)
        gallery.add_negative("ada", UP, space=SPACE, model_id=TEACHER_ID)
        (candidate,) = found(gallery, direction(1, 0.9))
        assert candidate.negative == cosine(direction(1, 1), direction(1, 0.9))
        assert gallery.best(direction(1, 0.9)[None], "ada", space=SPACE) == [candidate]

    def test_a_decision_passes_over_a_candidate_that_it_is_known_not_to_be(self, gallery):
        gallery.enrol("ada", templates(EAST), space=SPACE)
        gallery.enrol("bob", templates(direction(1, 2)), space=SPACE)
        probe = direction(1, 1)
        assert decide(found(gallery, probe), self.AT).subject_id == "bob"
        gallery.add_negative("bob", probe, space=SPACE, model_id=TEACHER_ID)
        assert decide(found(gallery, probe), self.AT).subject_id == "ada"
        gallery.add_negative("ada", probe, space=SPACE, model_id=TEACHER_ID)
        assert decide(found(gallery, probe), self.AT).subject_id is None
        assert decide(found(gallery, EAST), self.AT).subject_id == "ada"

    def test_they_are_listed_and_dropped(self, gallery):
        gallery.put_subject("ada")
        one = gallery.add_negative("ada", UP, space=SPACE, model_id=TEACHER_ID)
        two = gallery.add_negative("ada", NORTH, space=SPACE, model_id=TEACHER_ID)
        gallery.drop_negative(one)
        assert gallery.negatives("ada") == [two]
        with pytest.raises(NegativeUnknown, match=str(one)):
            gallery.drop_negative(one)

    def test_they_go_with_their_subject(self, gallery, path):
        row = random_rows(1, seed=4)[0]
        gallery.enrol("ada", templates(EAST), space=SPACE)
        gallery.add_negative("ada", row, space=SPACE, model_id=TEACHER_ID)
        gallery.forget("ada")
        assert row.astype("<f2").tobytes() not in path.read_bytes()

    def test_they_are_embeddings_of_this_space(self, gallery):
        gallery.put_subject("ada")
        with pytest.raises(SpaceMismatch):
            gallery.add_negative("ada", UP, space=OTHER_SPACE, model_id=TEACHER_ID)
        with pytest.raises(TemplatesInvalid):
            gallery.add_negative("ada", 2 * UP, space=SPACE, model_id=TEACHER_ID)


class TestMerging:
    def fill(self, gallery) -> None:
        gallery.put_subject("eve", name="Eve", details=DETAILS, expires=NEW_YEAR)
        gallery.enrol("eve", templates(EAST, NORTH), space=SPACE)
        gallery.enrol("ada", templates(UP), space=SPACE, name="Ada")

    def test_a_merged_subjects_templates_answer_for_the_other(self, gallery):
        self.fill(gallery)
        gallery.merge("eve", "ada")
        assert ids(gallery, EAST) == ["ada"]
        assert gallery.subject("ada").templates == 3
        assert (gallery.stats().subjects, gallery.stats().templates) == (1, 3)
        with pytest.raises(SubjectUnknown):
            gallery.subject("eve")
        assert gallery.check() == []

    def test_undoing_brings_back_the_subject_its_templates_and_all_that_was_known(self, gallery):
        self.fill(gallery)
        gallery.add_negative("eve", direction(1, 1), space=SPACE, model_id=TEACHER_ID)
        before = (gallery.subject("eve"), gallery.templates("eve"), gallery.negatives("eve"), found(gallery, EAST))
        number = gallery.merge("eve", "ada")
        assert gallery.negatives("ada") == before[2]
        assert gallery.undo_merge(number) == before[0]
        after = (gallery.subject("eve"), gallery.templates("eve"), gallery.negatives("eve"), found(gallery, EAST))
        assert after == before
        assert gallery.negatives("ada") == []
        assert gallery.check() == []

    def test_what_was_enrolled_since_stays_and_what_was_forgotten_since_is_gone(self, gallery):
        self.fill(gallery)
        number = gallery.merge("eve", "ada")
        gallery.enrol("ada", templates(direction(1, 1)), space=SPACE)
        gallery.forget_template("ada", gallery.templates("ada")[0].template_id)
        gallery.undo_merge(number)
        assert [len(gallery.templates(subject)) for subject in ("eve", "ada")] == [1, 2]

    def test_a_merge_is_undone_once(self, gallery):
        self.fill(gallery)
        number = gallery.merge("eve", "ada")
        gallery.undo_merge(number)
        for wrong in (number, number + 1):
            with pytest.raises(MergeUnknown, match=str(wrong)):
                gallery.undo_merge(wrong)

    def test_an_id_that_was_given_again_stands_in_the_way(self, gallery):
        self.fill(gallery)
        number = gallery.merge("eve", "ada")
        gallery.enrol("eve", templates(direction(1, 1)), space=SPACE)
        with pytest.raises(SubjectExists, match="'eve'"):
            gallery.undo_merge(number)

    @pytest.mark.parametrize("changed", ["merged = replace(merged, 'Eve', 'Ave')", "templates = '[3]'", "merged = '['"])
    def test_a_merge_whose_record_was_changed_is_reported_and_not_undone(self, gallery, changed):
        self.fill(gallery)
        number = gallery.merge("eve", "ada")
        gallery.store.write(lambda connection: connection.execute(f"UPDATE merges SET {changed}").close())  # noqa: S608
        assert gallery.check() == [f"Merge {number} fails its checksum"]
        with pytest.raises(GalleryCorrupt, match=f"Merge {number}"):
            gallery.undo_merge(number)
        assert gallery.subject("ada").templates == 3

    def test_merges_on_merges_are_undone_from_the_last(self, gallery):
        self.fill(gallery)
        gallery.enrol("bob", templates(direction(0, 1, 1)), space=SPACE)
        first, second = gallery.merge("eve", "ada"), gallery.merge("ada", "bob")
        with pytest.raises(MergeImpossible):
            gallery.undo_merge(first)
        gallery.undo_merge(second)
        gallery.undo_merge(first)
        assert [subject.templates for subject in gallery.subjects(9)] == [1, 1, 2]

    def test_nobody_is_merged_with_themselves_or_with_nobody(self, gallery):
        self.fill(gallery)
        with pytest.raises(MergeImpossible):
            gallery.merge("ada", "ada")
        for pair in (("ada", "zoe"), ("zoe", "ada")):
            with pytest.raises(SubjectUnknown):
                gallery.merge(*pair)

    def test_one_who_is_new_takes_over_what_was_known_and_when_it_ends(self, gallery):
        self.fill(gallery)
        gallery.merge("eve", "eva", create=True)
        eva = gallery.subject("eva")
        assert (eva.name, eva.details, eva.expires, eva.templates) == ("eva", DETAILS, NEW_YEAR.isoformat(), 2)
        gallery.merge("eva", "ada", create=True)
        assert (gallery.subject("ada").details, gallery.subject("ada").templates) == (SubjectDetails(), 3)
        assert gallery.check() == []

    def test_of_a_take_over_that_fails_nothing_is_left(self, gallery, monkeypatch):
        self.fill(gallery)
        monkeypatch.setattr("index.templates.move", Mock(side_effect=MergeImpossible("no", "eve", "Wait.")))
        with pytest.raises(MergeImpossible):
            gallery.merge("eve", "eva", create=True)
        assert [subject.subject_id for subject in gallery.subjects(9)] == ["ada", "eve"]

    def test_who_was_merged_is_forgotten_with_the_subject_they_became(self, gallery, path):
        gallery.put_subject("eve-dropper", name="Evelyn Dropper")
        gallery.enrol("eve-dropper", templates(EAST), space=SPACE)
        gallery.enrol("ada", templates(UP), space=SPACE)
        gallery.enrol("bob", templates(NORTH), space=SPACE)
        gallery.merge("eve-dropper", "ada")
        gallery.merge("ada", "bob")
        assert b"Evelyn Dropper" in everything(path)
        gallery.forget("bob")
        assert not any(needle in everything(path) for needle in (b"eve-dropper", b"Evelyn Dropper"))

    def test_an_undone_merge_keeps_nothing_of_anybody(self, gallery, path):
        self.fill(gallery)
        gallery.undo_merge(gallery.merge("eve", "ada"))
        gallery.forget("eve")
        assert b"hr-17" not in everything(path)


def everything(path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*") if file.is_file())


class TestExpiry:
    def test_who_has_expired_is_forgotten_and_nobody_else(self, gallery, path):
        for n, name in enumerate(("ada-past", "bob-now", "cy-later", "di-never")):
            gallery.put_subject(name, expires=NEW_YEAR + timedelta(days=n - 1) if n < 3 else None)
            gallery.enrol(name, templates(*random_rows(2, seed=n)), space=SPACE)
        receipts = gallery.forget_expired(NEW_YEAR)
        assert [(receipt.subject_id, receipt.templates) for receipt in receipts] == [("ada-past", 2), ("bob-now", 2)]
        assert all(receipt.erased_at for receipt in receipts)
        assert [subject.subject_id for subject in gallery.subjects(9)] == ["cy-later", "di-never"]
        assert b"ada-past" not in everything(path)
        assert gallery.forget_expired(NEW_YEAR) == []

    def test_a_time_counts_whatever_its_zone(self, gallery):
        gallery.put_subject("ada", expires=NEW_YEAR.astimezone(timezone(timedelta(hours=9))))
        assert gallery.forget_expired(NEW_YEAR - timedelta(seconds=1)) == []
        assert len(gallery.forget_expired(NEW_YEAR)) == 1


def test_thresholds_are_kept_by_model_and_fpir(gallery, path):
    tenth = Threshold(0.4, 0.1, 100, "m1", "gallery", "2026-01-01", low=0.3, high=0.5, trials=100)
    hundredth = Threshold(0.5, 0.01, 100, "m1", "gallery", "2026-01-01", extrapolated=True)
    other = Threshold(0.6, 0.01, 100, "m2", "card", "2026-01-01")
    gallery.put_thresholds([hundredth, tenth, other])
    newer = Threshold(0.55, 0.01, 150, "m1", "gallery", "2026-02-01")
    gallery.put_thresholds([newer])
    gallery.close()
    with open_gallery(path) as reopened:
        assert reopened.thresholds("m1") == [tenth, newer]
        assert reopened.thresholds("m2") == [other]
        assert reopened.thresholds("m3") == []
