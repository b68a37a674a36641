"""Any sequence of acts, backups and restores among them, leaves store and backups equal to a model of dictionaries."""

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from index.backup import back_up, backups, unpurged
from index.gallery import create_gallery, open_gallery
from index.restore import restore
from tests.index.fakes import SPACE, random_rows, templates
from tests.index.test_any_order import outcome

SUBJECTS = st.sampled_from("abcd")
State = dict[str, set[int]]
"""Subject -> ids of its Templates."""


class AnyBackup(RuleBasedStateMachine):
    """Beside each state the model keeps who each Template was enrolled as: it is forgotten by that, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "people.heirloom"
        self.gallery = create_gallery(self.path, SPACE)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.people: State = {}
        self.merges: dict[int, tuple[str, str, set[int]]] = {}
        self.kept: dict[str, State] = {}
        self.last = 0

    @rule(subject=SUBJECTS)
    def enrol(self, subject):
        (number,) = self.gallery.enrol(subject, templates(random_rows(1, seed=self.last)[0]), space=SPACE)
        assert number > self.last
        self.last = number
        self.people.setdefault(subject, set()).add(number)

    @rule(subject=SUBJECTS)
    def forget(self, subject):
        receipt = outcome(lambda: self.gallery.forget(subject))
        if subject not in self.people:
            assert isinstance(receipt, type)
            return
        assert receipt.erased_at is not None
        self._forget(subject)

    @rule(subject=SUBJECTS, number=st.integers(1, 12))
    def forget_template(self, subject, number):
        receipt = outcome(lambda: self.gallery.forget_template(subject, number))
        if number not in self.people.get(subject, set()):
            assert isinstance(receipt, type)
            return
        assert receipt.erased_at is not None
        for state in (self.people, *self.kept.values()):
            for rows in state.values():
                rows.discard(number)

    def _forget(self, subject: str) -> None:
        """From here, and from every backup: as whom each has them, and as those who were merged into them."""
        names = self._names(subject)
        self.people.pop(subject)
        self.merges = {number: merge for number, merge in self.merges.items() if merge[1] not in names}
        for state in self.kept.values():
            for name in names:
                state.pop(name, None)

    def _names(self, subject: str) -> set[str]:
        names = {subject}
        while more := {gone for gone, into, _ in self.merges.values() if into in names} - names:
            names |= more
        return names

    @rule(subject=SUBJECTS, into=SUBJECTS)
    def merge(self, subject, into):
        number = outcome(lambda: self.gallery.merge(subject, into))
        if isinstance(number, type):
            assert subject == into or not {subject, into} <= self.people.keys()
            return
        self.merges[number] = (subject, into, set(self.people[subject]))
        self.people[into] |= self.people.pop(subject)

    @precondition(lambda self: self.merges)
    @rule(data=st.data())
    def undo(self, data):
        number = data.draw(st.sampled_from(sorted(self.merges)))
        subject, into, rows = self.merges[number]
        if outcome(lambda: self.gallery.undo_merge(number).subject_id) == subject:
            del self.merges[number]
            self.people[subject] = rows & self.people[into]
            self.people[into] -= rows

    @precondition(lambda self: len(self.kept) < 3 and not self.merges)
    @rule()
    def back_up(self):
        self.now += timedelta(seconds=1)
        made = back_up(self.path, None, self.now)
        self.kept[made.path.name] = {subject: set(rows) for subject, rows in self.people.items()}

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def restore(self, data):
        name = data.draw(st.sampled_from(sorted(self.kept)))
        self.gallery.close()
        self.now += timedelta(seconds=1)
        done = restore(self.path.parent / f"{self.path.name}.backups" / name, self.path, self.now, force=True)
        assert done.log_went_on
        assert done.replaced is not None
        done.replaced.unlink()  # checked elsewhere; it would have to be modelled with its merges
        self.gallery = open_gallery(self.path)
        self.people = {subject: set(rows) for subject, rows in self.kept[name].items()}
        self.merges = {}

    @invariant()
    def store_and_backups_are_what_the_model_says(self):
        assert self.gallery.check() == []
        assert unpurged(self.path) == []
        assert held_by(self.gallery) == self.people
        assert {file.name for file in backups(self.path)} == set(self.kept)
        for file in backups(self.path):
            with open_gallery(file) as copy:
                assert held_by(copy) == self.kept[file.name]

    def teardown(self):
        self.gallery.close()
        shutil.rmtree(self.folder)


def held_by(gallery: Any) -> State:
    return {
        person.subject_id: {template.template_id for template in gallery.templates(person.subject_id)}
        for person in gallery.subjects(9)
    }


AnyBackup.TestCase.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)
test_any_order_of_acts_and_backups_equals_the_model = AnyBackup.TestCase
