"""A gallery is searched approximately when its owner wants it, and only if little enough is missed in it."""

import itertools
import json
from contextlib import closing

import numpy as np
import pytest
from click.testing import CliRunner

from index import approximate, cache, cli, compaction
from index.errors import ApproximationRefused
from index.gallery import Enrolment, create_gallery, open_gallery
from index.recall import Approximation, Recall, accepted, measure
from index.scan import Scan, Scanner
from tests.index.fakes import SPACE, random_rows, templates

RECALL = Recall(0.995, 0.97, 500, 40, 1.0, 9.0)
WANTED = Approximation(100, 0.99, RECALL, "2026-11-28")
PROBES = random_rows(5, seed=99)


@pytest.fixture(autouse=True)
def coded(monkeypatch):
    """The sizes of the segments that got codes, in turn; small ones are, too."""
    monkeypatch.setattr(approximate, "FEWEST", 16)
    monkeypatch.setattr(compaction, "FEWEST", 16)
    monkeypatch.setattr(cache, "FEWEST", 16)
    sizes = []
    code = approximate.coded

    def noted(segment):
        sizes.append(len(segment))
        return code(segment)

    monkeypatch.setattr(approximate, "coded", noted)
    return sizes


@pytest.fixture
def people(path):
    """A store of 50 Subjects with three Templates each, closed."""
    with create_gallery(path, SPACE) as gallery:
        enrol(gallery, range(50))
        gallery.compact()
    return path


def enrol(gallery, numbers):
    gallery.enrol_all([Enrolment(f"s{n}", templates(*random_rows(3, seed=n))) for n in numbers], space=SPACE)


def answers(gallery):
    return [[(hit.subject_id, hit.score) for hit in hits] for hits in gallery.search(PROBES, 7, space=SPACE)]


def test_a_gallery_is_searched_exactly_unless_it_was_told_otherwise(people, coded):
    with open_gallery(people) as gallery:
        answers(gallery)
        assert (gallery.approximation(), gallery.stats().search) == (None, "exact")
    assert coded == []


def test_it_is_searched_approximately_from_the_size_on_that_was_set(people, coded):
    with open_gallery(people) as gallery:
        gallery.approximate(Approximation(151, 0.99, RECALL, "2026-11-28"))
        assert gallery.stats().search == "exact"
        gallery.compact()
        assert coded == []
        enrol(gallery, [50])
        gallery.compact()
        assert gallery.stats().search == "approximate"
    assert sum(coded[-1:]) >= 150


def test_the_choice_outlives_a_restart_and_codes_are_made_again(people, coded):
    with open_gallery(people) as gallery:
        gallery.approximate(WANTED)
        exact = answers(gallery)
    coded.clear()
    with open_gallery(people) as gallery:
        assert gallery.approximation() == WANTED
        gallery.compact()
        assert coded == [150]
        assert answers(gallery) == exact  # of so few rows all are looked at closely


def test_another_open_gallery_hears_of_it_with_its_next_search(people, coded):
    with open_gallery(people) as gallery:
        with open_gallery(people) as other:
            other.approximate(WANTED)
        coded.clear()
        answers(gallery)
        assert gallery.stats().search == "approximate"
        gallery.compact()  # waits for what is made in the background
        assert coded == [150]


def test_it_can_be_switched_off(people, coded):
    with open_gallery(people) as gallery:
        gallery.approximate(WANTED)
        gallery.compact()
        gallery.approximate(None)
        assert (gallery.approximation(), gallery.stats().search) == (None, "exact")
    coded.clear()
    open_gallery(people).close()
    assert coded == []


def test_codes_and_centroids_are_made_anew_without_the_forgotten(people, coded):
    with open_gallery(people) as gallery:
        gallery.approximate(WANTED)
        gallery.compact()
        coded.clear()
        assert gallery.forget("s7").erased_at
        gallery.compact()
        assert "s7" not in {hit for hits in answers(gallery) for hit, _ in hits}
    assert coded == [147]


def test_a_damaged_setting_leaves_the_search_exact(people):
    with open_gallery(people) as gallery:
        gallery.approximate(WANTED)
        gallery.store.write(
            lambda c: c.execute("UPDATE settings SET value = '{\"templ' WHERE name = 'approximate'").close()
        )
        assert (gallery.approximation(), gallery.stats().search) == (None, "exact")


def test_the_audit_log_has_both(people):
    with open_gallery(people) as gallery:
        gallery.approximate(WANTED)
        gallery.approximate(None)
        told = gallery.store.read(lambda c: c.execute("SELECT action FROM audit ORDER BY seq DESC LIMIT 2").fetchall())
    assert told == [("search_exactly",), ("search_approximately",)]


# Measuring.


class Missing:
    """Misses the nearest row of every other probe."""

    def __init__(self, exact):
        self._exact, self._probes = exact, itertools.count()

    def scan(self, parts, probes, depth):
        found = self._exact.scan(parts, probes, depth)
        if next(self._probes) % 2:
            return found
        gone = np.full((len(probes), 1), -1)
        return Scan(
            np.hstack([found.scores[:, 1:], np.full((len(probes), 1), -np.inf, np.float32)]),
            np.hstack([found.rows[:, 1:], gone]),
            found.slack,
        )


@pytest.fixture
def snapshot(people):
    with open_gallery(people) as gallery:
        yield gallery._cache.refresh()


def test_an_engine_that_misses_nothing_has_a_recall_of_1(snapshot):
    ticks = itertools.count()
    with closing(Scanner(1)) as exact:
        recall = measure(snapshot, exact, exact, probes=30, seed=0, clock=lambda: float(next(ticks)))
    assert recall == Recall(1.0, 1.0, 30, 150, 1000.0, 1000.0)


def test_what_is_missed_shows(snapshot):
    with closing(Scanner(1)) as exact:
        recall = measure(snapshot, exact, Missing(exact), probes=40, seed=0)
    assert recall.first == 0.5
    assert 0.9 <= recall.ten < 1


def test_a_template_is_not_found_by_itself(snapshot):
    class Watched:
        def __init__(self, exact):
            self._exact, self.highest = exact, -1.0

        def scan(self, parts, probes, depth):
            found = self._exact.scan(parts, probes, depth)
            self.highest = max(self.highest, float(found.scores.max()))
            return found

    with closing(Scanner(1)) as exact:
        watched = Watched(exact)
        measure(snapshot, exact, watched, probes=50, seed=0)
    assert watched.highest < 0.9999


def test_the_same_seed_takes_the_same_templates(snapshot):
    with closing(Scanner(1)) as exact:
        some = [measure(snapshot, exact, Missing(exact), probes=25, seed=seed).ten for seed in (1, 1)]
    assert some[0] == some[1]


def test_too_few_people_tell_nothing(path):
    with create_gallery(path, SPACE) as gallery:
        enrol(gallery, range(19))
        gallery.compact()
        with pytest.raises(ApproximationRefused, match="too few Subjects"):
            gallery.recall(100, 0)


def test_a_gallery_too_small_for_codes_is_not_measured(people, monkeypatch):
    monkeypatch.setattr(approximate, "FEWEST", 151)
    with open_gallery(people) as gallery, pytest.raises(ApproximationRefused, match="too few Templates"):
        gallery.recall(100, 0)


def test_a_recall_at_the_floor_is_accepted_and_one_below_it_is_not():
    assert accepted(RECALL, 100, 0.995, "2026-11-28").recall == RECALL
    with pytest.raises(ApproximationRefused, match=r"0\.9950"):
        accepted(RECALL, 100, 0.996, "2026-11-28")


def test_a_gallery_that_has_grown_by_half_outgrows_its_measurement():
    assert [WANTED.outgrown(templates) for templates in (40, 60, 61)] == [False, False, True]


# The command.


def run(*words):
    return CliRunner().invoke(cli.main, [str(word) for word in words])


def test_the_command_measures_prints_and_switches_on(people):
    done = run("approximate", "--gallery", people, "--from", 100)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("recall@1 1.0000, recall@10 1.0000: 50 of 150 templates")
    assert "searched approximately: recall@1 1.0000" in run("stats", "--gallery", people).stdout
    assert json.loads(run("stats", "--gallery", people, "--json").stdout)["search"] == "approximate"


def test_the_command_switches_off(people):
    assert run("approximate", "--gallery", people, "--from", 100).exit_code == 0
    assert run("approximate", "--gallery", people, "--off").exit_code == 0
    assert "searched exactly\n" in run("stats", "--gallery", people).stdout


def test_the_command_prints_and_refuses_what_misses_too_much(people, monkeypatch):
    monkeypatch.setattr("index.local.measure", lambda *_, **__: RECALL)
    done = run("approximate", "--gallery", people, "--from", 100, "--floor", 0.999, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["first"] == RECALL.first
    assert "0.9950" in done.stderr
    assert "searched exactly\n" in run("stats", "--gallery", people).stdout


@pytest.mark.parametrize("words", [(), ("--from", 100, "--off")])
def test_the_command_wants_one_of_on_and_off(people, words):
    assert run("approximate", "--gallery", people, *words).exit_code == 2
