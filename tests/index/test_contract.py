"""What every Gallery does. A new kind is one more line in GALLERIES."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from faces.errors import SpaceMismatch
from faces.space import Space
from index import approximate
from index.errors import NothingToEnrol, ProbesInvalid, SubjectUnknown, TemplatesInvalid
from index.gallery import Candidate, Gallery, create_gallery, open_gallery
from index.recall import Approximation, Recall
from index.store import Engine
from tests.index.engines import ENGINES
from tests.index.fakes import (
    DIM,
    EAST,
    NORTH,
    OTHER_SPACE,
    SPACE,
    UP,
    ListGallery,
    Settled,
    direction,
    random_rows,
    templates,
)


@contextmanager
def searched_by(engine: Callable[[], Engine], folder: Path, space: Space) -> Iterator[Gallery]:
    """A gallery whose rows are all where this engine looks for them."""
    path = folder / "people.heirloom"
    create_gallery(path, space).close()
    with open_gallery(path, engine=engine()) as gallery:
        yield Settled(gallery)


@contextmanager
def searched_approximately(folder: Path, space: Space) -> Iterator[Gallery]:
    """Exact all the same, as few rows are all looked at closely; what it misses of many, see test_approximate."""
    with create_gallery(folder / "people.heirloom", space) as gallery:
        gallery.approximate(Approximation(1, 0.0, Recall(0, 0, 0, 0, 0, 0), "2026-11-28"))
        yield Settled(gallery)


GALLERIES: Mapping[str, Callable[[Path, Space], AbstractContextManager[Gallery]]] = {
    "local": lambda folder, space: create_gallery(folder / "people.heirloom", space),
    "list": lambda _, space: nullcontext(ListGallery(space)),
    "approximate": searched_approximately,
    **{f"on {name}": partial(searched_by, engine) for name, engine in ENGINES.items()},
}


@pytest.fixture(params=sorted(GALLERIES))
def gallery(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gallery]:
    monkeypatch.setattr(approximate, "FEWEST", 16)  # as many rows as codes can be made of
    with GALLERIES[request.param](tmp_path, SPACE) as made:
        yield made


def nearest(gallery: Gallery, probe: np.ndarray, k: int = 10) -> list[Candidate]:
    (candidates,) = gallery.search(probe[None], k, space=SPACE)
    return candidates


def ids(candidates: list[Candidate]) -> list[str]:
    return [candidate.subject_id for candidate in candidates]


def test_a_subject_is_found_by_the_cosine_of_its_template(gallery):
    (template,) = gallery.enrol("ada", templates(EAST), space=SPACE, name="Ada Lovelace")
    (found,) = nearest(gallery, direction(1, 1))
    assert (found.subject_id, found.name, found.template_id) == ("ada", "Ada Lovelace", template)
    assert found.score == pytest.approx(2**-0.5, abs=1e-4)


def test_candidates_come_best_first_and_no_more_than_asked(gallery):
    for subject, row in (("ada", UP), ("bob", EAST), ("cy", NORTH)):
        gallery.enrol(subject, templates(row), space=SPACE)
    assert ids(nearest(gallery, direction(3, 2, 1))) == ["bob", "cy", "ada"]
    assert ids(nearest(gallery, direction(3, 2, 1), k=2)) == ["bob", "cy"]


def test_a_subject_appears_once_with_its_best_template(gallery):
    _, best, _ = gallery.enrol("ada", templates(NORTH, EAST, UP), space=SPACE)
    gallery.enrol("bob", templates(direction(1, 2)), space=SPACE)
    found = nearest(gallery, EAST)
    assert ids(found) == ["ada", "bob"]
    assert found[0].template_id == best


def test_a_subject_with_many_near_templates_hides_nobody(gallery):
    gallery.enrol("crowd", templates(*[direction(1, 0.001 * n) for n in range(300)]), space=SPACE)
    for n in range(5):
        gallery.enrol(f"far{n}", templates(direction(1, 3 + n)), space=SPACE)
    assert ids(nearest(gallery, EAST, k=4)) == ["crowd", "far0", "far1", "far2"]


def test_equal_scores_go_to_the_older_template_first(gallery):
    subjects = [f"s{n:02}" for n in np.random.default_rng(0).permutation(40)]
    for subject in subjects:
        gallery.enrol(subject, templates(EAST), space=SPACE)
    assert ids(nearest(gallery, EAST, k=7)) == subjects[:7]


def test_more_candidates_than_subjects_gives_every_subject(gallery):
    gallery.enrol("ada", templates(EAST, NORTH), space=SPACE)
    gallery.enrol("bob", templates(UP), space=SPACE)
    assert ids(nearest(gallery, EAST, k=10_000)) == ["ada", "bob"]


def test_an_empty_gallery_has_no_candidates_for_any_probe(gallery):
    assert gallery.search(random_rows(3), 5, space=SPACE) == [[], [], []]


def test_no_probes_have_no_answers(gallery):
    gallery.enrol("ada", templates(EAST), space=SPACE)
    assert gallery.search(np.empty((0, DIM), np.float32), 5, space=SPACE) == []


def test_every_probe_of_a_large_batch_is_answered_as_if_alone(gallery):
    rows = random_rows(200, seed=1)
    for n in range(50):
        gallery.enrol(f"s{n}", templates(*rows[4 * n : 4 * n + 4]), space=SPACE)
    probes = random_rows(130, seed=2)
    assert gallery.search(probes, 5, space=SPACE) == [nearest(gallery, probe, 5) for probe in probes]


@pytest.mark.parametrize(
    ("probes", "k"),
    [
        (np.full((1, DIM), np.nan, np.float32), 1),
        (np.full((1, DIM), np.inf, np.float32), 1),
        (np.zeros((1, DIM), np.float32), 1),
        (2 * EAST[None], 1),
        (np.ones((1, DIM + 1), np.float32), 1),
        (EAST, 1),
        (EAST[None], 0),
        (EAST[None], -3),
    ],
    ids=["nan", "infinite", "zero", "too long", "another dimension", "no batch", "none wanted", "fewer than none"],
)
def test_a_probe_that_is_no_unit_row_is_an_error(gallery, probes, k):
    gallery.enrol("ada", templates(EAST), space=SPACE)
    with pytest.raises(ProbesInvalid):
        gallery.search(probes, k, space=SPACE)


@pytest.mark.parametrize(
    "row",
    [np.full(DIM, np.nan, np.float32), np.zeros(DIM, np.float32), 0.9 * EAST, np.ones(DIM + 1, np.float32)],
    ids=["nan", "zero", "too short", "another dimension"],
)
def test_templates_are_enrolled_all_or_none(gallery, row):
    with pytest.raises(TemplatesInvalid):
        gallery.enrol("ada", templates(EAST, row), space=SPACE)
    assert (gallery.stats().subjects, gallery.stats().templates) == (0, 0)


def test_vectors_of_another_space_are_refused_with_the_fields_that_differ(gallery):
    gallery.enrol("ada", templates(EAST), space=SPACE)
    with pytest.raises(SpaceMismatch) as enrolled:
        gallery.enrol("bob", templates(EAST), space=OTHER_SPACE)
    with pytest.raises(SpaceMismatch) as searched:
        gallery.search(EAST[None], 1, space=OTHER_SPACE)
    differing = {
        "teacher": (OTHER_SPACE.teacher, SPACE.teacher),
        "crop": (OTHER_SPACE.crop, SPACE.crop),
    }
    assert enrolled.value.details["fields"] == searched.value.details["fields"] == differing
    assert gallery.stats().subjects == 1


def test_no_templates_is_an_error_that_names_the_subject(gallery):
    with pytest.raises(NothingToEnrol, match="'ada'"):
        gallery.enrol("ada", [], space=SPACE)


def test_a_name_stays_until_another_is_given(gallery):
    gallery.enrol("ada", templates(EAST), space=SPACE)
    assert nearest(gallery, EAST)[0].name == "ada"
    gallery.enrol("ada", templates(NORTH), space=SPACE, name="Ada Lovelace")
    gallery.enrol("ada", templates(UP), space=SPACE)
    assert nearest(gallery, EAST)[0].name == "Ada Lovelace"


def test_a_forgotten_subject_is_never_a_candidate(gallery):
    gallery.enrol("ada", templates(EAST, NORTH), space=SPACE)
    gallery.enrol("bob", templates(NORTH), space=SPACE)
    receipt = gallery.forget("ada")
    assert (receipt.subject_id, receipt.templates) == ("ada", 2)
    assert receipt.erased_at is not None
    assert ids(nearest(gallery, EAST)) == ["bob"]
    assert gallery.check() == []


def test_forgetting_nobody_is_an_error_that_names_them(gallery):
    with pytest.raises(SubjectUnknown, match="no such Subject: 'zoe'"):
        gallery.forget("zoe")


def test_template_ids_are_never_reused(gallery):
    old = gallery.enrol("ada", templates(EAST, NORTH), space=SPACE)
    gallery.forget("ada")
    new = gallery.enrol("ada", templates(EAST, NORTH), space=SPACE)
    assert min(new) > max(old)


def test_stats_count_subjects_templates_models_and_writes(gallery):
    before = gallery.stats().version
    gallery.enrol("ada", templates(EAST, NORTH), space=SPACE)
    gallery.enrol("bob", templates(UP, model_id="another"), space=SPACE)
    after = gallery.stats()
    assert (after.subjects, after.templates, after.space_id) == (2, 3, SPACE.space_id)
    assert after.models == {templates(EAST)[0].model_id: 2, "another": 1}
    assert after.version > before
