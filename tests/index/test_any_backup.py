"""Any sequence of acts, backups and restores among them, leaves store and backups equal to a model of dictionaries."""

import re
import shutil
import tempfile
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from index.backup import back_up, backups, unpurged
from index.errors import MergeImpossible, SubjectExists
from index.gallery import create_gallery, open_gallery
from index.restore import restore
from tests.index.fakes import SPACE, TEACHER_ID, random_rows, templates
from tests.index.test_any_order import outcome

SUBJECTS = st.sampled_from("abcd")


@dataclass
class Person:
    """Keeps what is their own while they are part of somebody: to undo a merge is to strike out two numbers."""

    subject_id: str
    rows: set[int] = field(default_factory=set)
    """Ids of Templates."""
    examples: set[int] = field(default_factory=set)
    """Ids of negative examples."""
    merge: int = 0
    into: int = 0
    """Whom the merge made them a part of."""


State = dict[int, Person]
"""By a number that is in the Person's name, too."""


class AnyBackup(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "people.heirloom"
        self.gallery = create_gallery(self.path, SPACE)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.people: State = {}
        self.kept: dict[str, State] = {}
        self.born = self.last_row = self.last_example = 0

    @initialize(merges=st.sampled_from([["ba"], ["cb", "ba"], ["ba", "ca"], []]))
    def a_backup_is_there(self, merges):
        for subject in "abc":
            self.enrol(subject)
        for pair in merges:
            self.merge(*pair)
        self.back_up()

    @rule(subject=SUBJECTS)
    def enrol(self, subject):
        rows = templates(random_rows(1, seed=self.last_row)[0])
        who = number_of(self.people, subject)
        if who is None:
            self.born += 1
            who = self.born
            self.people[who] = Person(subject)
        (number,) = self.gallery.enrol(subject, rows, space=SPACE, name=f"Person {who:04}")
        assert number > self.last_row
        self.last_row = number
        self.people[who].rows.add(number)

    @rule(subject=SUBJECTS)
    def add_negative(self, subject):
        row = random_rows(1, seed=1000 + self.last_example)[0]
        number = outcome(lambda: self.gallery.add_negative(subject, row, space=SPACE, model_id=TEACHER_ID))
        who = number_of(self.people, subject)
        if who is None:
            assert isinstance(number, type)
            return
        assert number > self.last_example
        self.last_example = number
        self.people[who].examples.add(number)

    @rule(subject=SUBJECTS)
    def forget(self, subject):
        who = number_of(self.people, subject)
        if who is None:
            assert isinstance(outcome(lambda: self.gallery.forget(subject)), type)
            return
        gone = set(parts(self.people, who))
        after = {name: without(state, gone) for name, state in self.kept.items()}
        if any(two_of_one_id(state) for state in after.values()):  # said, and left to a person: tested elsewhere
            return
        receipt = self.gallery.forget(subject)
        assert receipt.left_in == ()
        assert receipt.erased_at is not None
        self.people, self.kept = without(self.people, gone), after

    @rule(subject=SUBJECTS, number=st.integers(1, 12))
    def forget_template(self, subject, number):
        receipt = outcome(lambda: self.gallery.forget_template(subject, number))
        if number not in held(self.people).get(subject, ({}, {}))[0]:
            assert isinstance(receipt, type)
            return
        assert receipt.erased_at is not None
        for state in (self.people, *self.kept.values()):
            for person in state.values():
                person.rows.discard(number)

    @rule(subject=SUBJECTS, into=SUBJECTS)
    def merge(self, subject, into):
        gone, kept = (number_of(self.people, each) for each in (subject, into))
        merge = outcome(lambda: self.gallery.merge(subject, into))
        if gone is None or kept is None or gone == kept:
            assert isinstance(merge, type)
            return
        self.people[gone].merge, self.people[gone].into = merge, kept

    @precondition(lambda self: any(person.merge for person in self.people.values()))
    @rule(data=st.data(), forgotten=st.sampled_from(["the one", "the other", "nobody"]))
    def undo(self, data, forgotten):
        person = data.draw(st.sampled_from([person for person in self.people.values() if person.merge]))
        other = self.people[person.into]
        found = outcome(lambda: self.gallery.undo_merge(person.merge).subject_id)
        if number_of(self.people, person.subject_id):
            assert found is SubjectExists
        elif other.merge:
            assert found is MergeImpossible
        else:
            assert found == person.subject_id
            person.merge = person.into = 0
            if forgotten != "nobody":
                self.forget((person if forgotten == "the one" else other).subject_id)

    @precondition(lambda self: len(self.kept) < 3)
    @rule()
    def back_up(self):
        self.now += timedelta(seconds=1)
        made = back_up(self.path, None, self.now)
        self.kept[made.path.name] = deepcopy(self.people)

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def restore(self, data):
        name = data.draw(st.sampled_from(sorted(self.kept)))
        self.gallery.close()
        self.now += timedelta(seconds=1)
        done = restore(self.path.parent / f"{self.path.name}.backups" / name, self.path, self.now, force=True)
        assert (done.log_went_on, done.forgotten_again) == (True, 0)
        assert done.replaced is not None
        if len(self.kept) < 3:
            self.kept[done.replaced.name] = self.people
        else:
            done.replaced.unlink()
        self.gallery = open_gallery(self.path)
        self.people = deepcopy(self.kept[name])

    @invariant()
    def store_and_backups_are_what_the_model_says(self):
        assert self.gallery.check() == []
        assert unpurged(self.path) == []
        assert held_by(self.gallery) == held(self.people)
        assert {file.name for file in backups(self.path)} == set(self.kept)
        for file in backups(self.path):
            assert named_in(file) == set(self.kept[file.name])
            with open_gallery(file) as copy:
                assert copy.check() == []
                assert held_by(copy) == held(self.kept[file.name])

    def teardown(self):
        self.gallery.close()
        shutil.rmtree(self.folder)


# The model.


def number_of(state: State, subject: str) -> int | None:
    """Of the Subject that has this id now."""
    return next((number for number, each in state.items() if not each.merge and each.subject_id == subject), None)


def parts(state: State, number: int) -> list[int]:
    """Of this Subject: itself, and all who were merged with it, directly or not."""
    return [number, *(part for each, person in state.items() if person.into == number for part in parts(state, each))]


def without(state: State, gone: set[int]) -> State:
    """Whoever was part of one who is gone, and is not, is a Subject again."""
    left = {number: deepcopy(person) for number, person in state.items() if number not in gone}
    for person in left.values():
        if person.into in gone:
            person.merge = person.into = 0
    return left


def two_of_one_id(state: State) -> bool:
    ids = [person.subject_id for person in state.values() if not person.merge]
    return len(ids) > len(set(ids))


Held = dict[str, tuple[set[int], set[int]]]
"""Subject -> ids of its Templates, and of its negative examples."""


def held(state: State) -> Held:
    found = {}
    for number, person in state.items():
        if not person.merge:
            everybody = [state[part] for part in parts(state, number)]
            rows, examples = ([getattr(each, of) for each in everybody] for of in ("rows", "examples"))
            found[person.subject_id] = (set().union(*rows), set().union(*examples))
    return found


def held_by(gallery: Any) -> Held:
    return {
        person.subject_id: (
            {template.template_id for template in gallery.templates(person.subject_id)},
            set(gallery.negatives(person.subject_id)),
        )
        for person in gallery.subjects(9)
    }


def named_in(file: Path) -> set[int]:
    """Whose names are anywhere in its bytes."""
    return {int(number) for number in re.findall(rb"Person (\d{4})", file.read_bytes())}


AnyBackup.TestCase.settings = settings(max_examples=8, stateful_step_count=12)
test_any_order_of_acts_and_backups_equals_the_model = AnyBackup.TestCase
