"""Any sequence of acts leaves a gallery equal to the list that nobody can misread; and from many threads at once."""

import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from index.errors import SubjectUnknown
from index.gallery import create_gallery, open_gallery
from tests.index.fakes import EAST, SPACE, ListGallery, random_rows, templates

SUBJECTS = st.sampled_from("abcd")
ROWS = random_rows(12, seed=3)
PROBES = random_rows(6, seed=4)


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "people.heirloom"
        self.gallery = create_gallery(self.path, SPACE)
        self.model = ListGallery(SPACE)

    @rule(
        subject=SUBJECTS,
        rows=st.lists(st.sampled_from(range(len(ROWS))), min_size=1, max_size=3),
        name=st.sampled_from([None, "Ada", "Bob"]),
    )
    def enrol(self, subject, rows, name):
        new = templates(*ROWS[rows])
        assert self.gallery.enrol(subject, new, space=SPACE, name=name) == self.model.enrol(
            subject, new, space=SPACE, name=name
        )

    @rule(subject=SUBJECTS)
    def forget(self, subject):
        try:
            expected = self.model.forget(subject).templates
        except SubjectUnknown:
            with pytest.raises(SubjectUnknown):
                self.gallery.forget(subject)
        else:
            assert self.gallery.forget(subject).templates == expected

    @rule()
    def reopen(self):
        self.gallery.close()
        self.gallery = open_gallery(self.path)

    @rule(subject=SUBJECTS)
    def another_process_enrols(self, subject):
        with open_gallery(self.path) as other:
            other.enrol(subject, templates(EAST), space=SPACE)
        self.model.enrol(subject, templates(EAST), space=SPACE)

    @rule(k=st.integers(1, 6))
    def search(self, k):
        assert self.gallery.search(PROBES, k, space=SPACE) == self.model.search(PROBES, k, space=SPACE)

    @invariant()
    def agrees(self):
        assert self.gallery.check() == []
        assert self.gallery.stats().models == self.model.stats().models

    def teardown(self):
        self.gallery.close()
        shutil.rmtree(self.folder)


AnyOrder.TestCase.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
test_any_order_of_acts_equals_the_list = AnyOrder.TestCase


def test_searches_from_many_threads_are_right_while_subjects_come_and_go(gallery):
    gallery.enrol("fixed", templates(EAST), space=SPACE)
    rows = random_rows(40, seed=8)
    done = threading.Event()

    def search() -> int:
        count = 0
        while not done.is_set():
            first, *others = gallery.search(EAST[None], 50, space=SPACE)[0]
            assert (first.subject_id, first.score) == ("fixed", 1.0)
            subjects = [candidate.subject_id for candidate in others]
            assert len(set(subjects)) == len(subjects)
            assert [candidate.score for candidate in others] == sorted((c.score for c in others), reverse=True)
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        searching = [pool.submit(search) for _ in range(4)]
        try:
            for n, row in enumerate(rows):
                gallery.enrol(f"s{n}", templates(row), space=SPACE)
                assert f"s{n}" in [found.subject_id for found in gallery.search(row[None], 50, space=SPACE)[0]]
                if n % 4 == 3:
                    gallery.forget(f"s{n - 1}")
        finally:
            done.set()
        assert all(future.result() > 0 for future in searching)
    assert gallery.check() == []
