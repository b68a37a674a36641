"""Any sequence of acts leaves a gallery equal to a model that nobody can misread; and from many threads at once."""

import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from faces.errors import FacesError
from index.errors import MergeImpossible, MergeUnknown, SubjectExists, SubjectUnknown, TemplateUnknown
from index.gallery import Candidate, create_gallery, open_gallery
from tests.index.fakes import EAST, SPACE, TEACHER_ID, cosine, random_rows, templates

SUBJECTS = st.sampled_from("abcd")
ROWS = random_rows(12, seed=3)
PROBES = random_rows(6, seed=4)
ROW = st.sampled_from(range(len(ROWS)))
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


@dataclass(eq=False)
class Person:
    subject_id: str
    name: str
    rows: dict[int, np.ndarray] = field(default_factory=dict)
    """By Template id."""
    examples: dict[int, np.ndarray] = field(default_factory=dict)
    """Of who they are not."""
    expires: bool = False


@dataclass(eq=False)
class Merge:
    kept: Person
    gone: Person
    rows: list[int]
    examples: list[int]
    over: bool = False


class Model:
    """What a gallery is to do, with dictionaries."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.merges: list[Merge] = []
        self.last_row = self.last_example = 0

    def require(self, subject: str) -> Person:
        if subject not in self.people:
            raise SubjectUnknown("", "", "")
        return self.people[subject]

    def enrol(self, subject: str, rows: np.ndarray, name: str | None) -> list[int]:
        person = self.people.setdefault(subject, Person(subject, subject))
        person.name = name or person.name
        ids = [self.last_row + n for n in range(1, len(rows) + 1)]
        person.rows.update(zip(ids, rows, strict=True))
        self.last_row = ids[-1]
        return ids

    def forget(self, subject: str) -> int:
        person = self.require(subject)
        del self.people[subject]
        self._forget_merged(person)
        return len(person.rows)

    def _forget_merged(self, person: Person) -> None:
        for merge in self.merges:
            if merge.kept is person and not merge.over:
                merge.over = True
                self._forget_merged(merge.gone)

    def forget_template(self, subject: str, number: int) -> int:
        if number not in self.require(subject).rows:
            raise TemplateUnknown("", "", "")
        del self.people[subject].rows[number]
        return 1

    def forget_expired(self) -> set[str]:
        gone = {subject for subject, person in self.people.items() if person.expires}
        for subject in gone:
            self.forget(subject)
        return gone

    def expire(self, subject: str) -> None:
        self.require(subject).expires = True

    def add_negative(self, subject: str, row: np.ndarray) -> int:
        person = self.require(subject)
        self.last_example += 1
        person.examples[self.last_example] = row
        return self.last_example

    def merge(self, subject: str, into: str) -> int:
        gone, kept = self.require(subject), self.require(into)
        if gone is kept:
            raise MergeImpossible("", "", "")
        self.merges.append(Merge(kept, gone, list(gone.rows), list(gone.examples)))
        hand_over(gone, kept, list(gone.rows), list(gone.examples))
        del self.people[subject]
        return len(self.merges)

    def undo(self, number: int) -> str:
        if number > len(self.merges) or self.merges[number - 1].over:
            raise MergeUnknown("", "", "")
        merge = self.merges[number - 1]
        if merge.gone.subject_id in self.people:
            raise SubjectExists("", "", "")
        if self.people.get(merge.kept.subject_id) is not merge.kept:
            raise MergeImpossible("", "", "")
        merge.over = True
        self.people[merge.gone.subject_id] = merge.gone
        hand_over(merge.kept, merge.gone, merge.rows, merge.examples)
        return merge.gone.subject_id

    def search(self, probe: np.ndarray, k: int) -> list[Candidate]:
        found = [candidate for subject in self.people for candidate in [self.best(subject, probe)] if candidate]
        return sorted(found, key=lambda candidate: (-candidate.score, candidate.template_id))[:k]

    def best(self, subject: str, probe: np.ndarray) -> Candidate | None:
        person = self.require(subject)
        if not person.rows:
            return None
        score, number = max((cosine(row, probe), -number) for number, row in person.rows.items())
        negative = max((cosine(row, probe) for row in person.examples.values()), default=None)
        return Candidate(subject, person.name, score, -number, negative)


def hand_over(giver: Person, taker: Person, rows: list[int], examples: list[int]) -> None:
    taker.rows.update({number: giver.rows.pop(number) for number in rows if number in giver.rows})
    taker.examples.update({number: giver.examples.pop(number) for number in examples if number in giver.examples})


def outcome(act: Callable[[], Any]) -> Any:
    """What it returns, or the kind of error that it ends in."""
    try:
        return act()
    except FacesError as error:
        return type(error)


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "people.heirloom"
        self.gallery = create_gallery(self.path, SPACE)
        self.model = Model()

    @rule(subject=SUBJECTS, rows=st.lists(ROW, min_size=1, max_size=3), name=st.sampled_from([None, "Ada", "Bob"]))
    def enrol(self, subject, rows, name):
        ids = self.gallery.enrol(subject, templates(*ROWS[rows]), space=SPACE, name=name)
        assert ids == self.model.enrol(subject, ROWS[rows], name)

    @rule(subject=SUBJECTS)
    def forget(self, subject):
        assert outcome(lambda: self.gallery.forget(subject).templates) == outcome(lambda: self.model.forget(subject))

    @rule(subject=SUBJECTS, number=st.integers(1, 12))
    def forget_template(self, subject, number):
        found = outcome(lambda: self.gallery.forget_template(subject, number).templates)
        assert found == outcome(lambda: self.model.forget_template(subject, number))

    @rule(subject=SUBJECTS)
    def expire(self, subject):
        found = outcome(lambda: self.gallery.update_subject(subject, expires=NEW_YEAR).expires)
        assert found == outcome(lambda: self.model.expire(subject) or NEW_YEAR.isoformat())

    @rule()
    def forget_expired(self):
        found = {receipt.subject_id for receipt in self.gallery.forget_expired(NEW_YEAR)}
        assert found == self.model.forget_expired()

    @rule(subject=SUBJECTS, row=ROW)
    def add_negative(self, subject, row):
        found = outcome(lambda: self.gallery.add_negative(subject, ROWS[row], space=SPACE, model_id=TEACHER_ID))
        assert found == outcome(lambda: self.model.add_negative(subject, ROWS[row]))

    @rule(subject=SUBJECTS, into=SUBJECTS)
    def merge(self, subject, into):
        assert outcome(lambda: self.gallery.merge(subject, into)) == outcome(lambda: self.model.merge(subject, into))

    @rule(number=st.integers(1, 4))
    def undo_merge(self, number):
        found = outcome(lambda: self.gallery.undo_merge(number).subject_id)
        assert found == outcome(lambda: self.model.undo(number))

    @rule()
    def reopen(self):
        self.gallery.close()
        self.gallery = open_gallery(self.path)

    @rule()
    def compact(self):
        self.gallery.compact()

    @rule(subject=SUBJECTS)
    def another_process_enrols(self, subject):
        with open_gallery(self.path) as other:
            other.enrol(subject, templates(EAST), space=SPACE)
        self.model.enrol(subject, EAST[None], None)

    @rule(k=st.integers(1, 6))
    def search(self, k):
        found = self.gallery.search(PROBES, k, space=SPACE)
        assert found == [self.model.search(probe, k) for probe in PROBES]

    @rule(subject=SUBJECTS)
    def compare_with_one(self, subject):
        found = outcome(lambda: self.gallery.best(PROBES, subject, space=SPACE))
        assert found == outcome(lambda: [self.model.best(subject, probe) for probe in PROBES])

    @invariant()
    def agrees(self):
        assert self.gallery.check() == []
        assert {subject.subject_id: subject.templates for subject in self.gallery.subjects(9)} == {
            subject: len(person.rows) for subject, person in self.model.people.items()
        }
        assert self.gallery.stats().templates == sum(len(person.rows) for person in self.model.people.values())

    def teardown(self):
        self.gallery.close()
        shutil.rmtree(self.folder)


AnyOrder.TestCase.settings = settings(max_examples=20, stateful_step_count=20)
test_any_order_of_acts_equals_the_model = AnyOrder.TestCase


def test_searches_from_many_threads_are_right_while_subjects_come_and_go(gallery):
    gallery.enrol("fixed", templates(EAST), space=SPACE)
    rows = random_rows(40, seed=8)
    begun, done = threading.Barrier(5), threading.Event()

    def search() -> None:
        first, *others = gallery.search(EAST[None], 50, space=SPACE)[0]
        assert (first.subject_id, first.score) == ("fixed", 1.0)
        subjects = [candidate.subject_id for candidate in others]
        assert len(set(subjects)) == len(subjects)
        assert [candidate.score for candidate in others] == sorted((c.score for c in others), reverse=True)

    def keep_searching() -> None:
        search()
        begun.wait(60)
        while not done.is_set():
            search()

    with ThreadPoolExecutor(4) as pool:
        searching = [pool.submit(keep_searching) for _ in range(4)]
        try:
            begun.wait(60)
            for n, row in enumerate(rows):
                gallery.enrol(f"s{n}", templates(row), space=SPACE)
                assert f"s{n}" in [found.subject_id for found in gallery.search(row[None], 50, space=SPACE)[0]]
                if n % 4 == 3:
                    gallery.forget(f"s{n - 1}")
        finally:
            done.set()
        for future in searching:
            future.result()
    assert gallery.check() == []
