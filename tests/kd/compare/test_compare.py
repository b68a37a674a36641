"""A comparison of two methods with two seeds: what it leaves on disk, and that it can be stopped at any moment."""

import fcntl
import shutil
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from faces.models import find_model, open_embedder
from kd.compare import compare as module
from kd.compare.compare import compare
from kd.compare.exam import Examiner, embedded
from kd.compare.outcome import FILE, read_outcome
from kd.compare.plan import Plan, Rival
from kd.errors import CheckpointMismatch, PlanRefused, ProtocolInvalid
from kd.evaluate.protocol import Pairs, Protocol, Search, photo_templates
from kd.train import rate_at

L2, PROXYLESS = Rival("L2", "l2"), Rival("ProxylessKD", "proxyless")


@pytest.fixture(autouse=True)
def no_detector(monkeypatch):
    """The photos are crops already."""
    monkeypatch.setattr("kd.compare.exam.open_detector", lambda: None)


@pytest.fixture
def protocol(people):
    """Two people are enrolled, the third is a stranger."""
    photos = {str(path.relative_to(people)): path.parent.name for path in sorted(people.glob("*/*.png"))}
    templates, _ = photo_templates(photos, people)
    gallery, probes = np.array([0, 6]), np.array([*range(1, 6), *range(7, 18)])
    left, right = np.arange(6), np.array([1, 2, 3, 7, 8, 9])
    pairs = Pairs("", left, right, same=np.array([True] * 3 + [False] * 3), fold=np.array([0, 1, 0, 1, 0, 1]))
    return Protocol("faces", templates, (pairs,), (Search("", gallery, probes),))


@pytest.fixture
def plan(config):
    return Plan(config(epochs=2), (L2, PROXYLESS), (0, 1))


def grids(folder):
    """What every run that is done came to, but for how long it took."""
    found = sorted((folder / "runs").glob(f"*/*/{FILE}"))
    return {str(file.parent.relative_to(folder / "runs")): read_outcome(file.parent).grids for file in found}


def quiet(sentence):
    pass


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    return tmp_path_factory.mktemp("comparison") / "whole"


@pytest.fixture
def whole(plan, protocol, made_once, tmp_path):
    """The folder of a comparison that is done, to do with as one likes."""
    if not made_once.exists():
        compare(plan, protocol, made_once, tell=quiet)
    return shutil.copytree(made_once, tmp_path / "whole", symlinks=True)


def test_every_method_is_trained_with_every_seed_and_judged(whole):
    assert set(grids(whole)) == {"l2/0", "l2/1", "proxylesskd/0", "proxylesskd/1"}
    assert set(grids(whole)["l2/0"]["faces-2"]) == {"T→T", "S→T", "S→S", "T→S"}
    outcomes = [read_outcome(run) for run in (whole / "runs").glob("*/*")]
    assert {outcome.views for outcome in outcomes} == {36}
    assert all(outcome.seconds > 0 for outcome in outcomes)
    made = {path.name for path in whole.iterdir()}
    assert made == {"comparison.md", "comparison.json", "comparison.png", "runs", "data", "data.lock", "exam"}


def test_runs_differ_and_share_the_teachers_answers(whole):
    assert all(data.is_symlink() for data in (whole / "runs").glob("*/*/data"))
    assert len(list((whole / "data").glob("targets-*.npy"))) == 1
    assert len({(run / "checkpoint.pt").read_bytes() for run in (whole / "runs").glob("*/*")}) == 4


def test_a_run_that_is_done_is_not_run_again(plan, protocol, whole, monkeypatch):
    monkeypatch.setattr(module, "distil", None)
    monkeypatch.setattr("kd.compare.exam.find_face", None)
    assert [len(row.done) for row in compare(plan, protocol, whole, tell=quiet).rows] == [2, 2]


def stop_at(step):
    """A schedule that ends the process at so many steps of all runs."""
    steps = iter(range(step))

    def rate(*arguments):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return rate_at(*arguments)

    return rate


def test_stopped_in_the_middle_of_a_run_it_goes_on_to_the_same_figures(plan, protocol, whole, tmp_path, monkeypatch):
    monkeypatch.setattr("kd.distil._SAVE_EVERY", 2)
    one_seed, said = Plan(plan.base, plan.rivals, (0,)), []
    with monkeypatch.context() as patched:
        patched.setattr("kd.train.rate_at", stop_at(6 + 3))  # three steps of the second run
        with pytest.raises(KeyboardInterrupt):
            compare(one_seed, protocol, tmp_path / "parts", tell=quiet)
    assert set(grids(tmp_path / "parts")) == {"l2/0"}
    compare(one_seed, protocol, tmp_path / "parts", tell=said.append)
    assert "going on from step 2 of 6" in said
    expected = grids(whole)
    assert grids(tmp_path / "parts") == {run: expected[run] for run in ("l2/0", "proxylesskd/0")}


def test_a_run_that_fails_is_a_row_and_is_tried_again(plan, protocol, tmp_path):
    wild = Rival("wild", "proxyless", {"scale": "1e39"})
    broken = Plan(plan.base, (wild, L2), (0,))
    for _ in range(2):
        said = []
        standings = compare(broken, protocol, tmp_path, tell=said.append)
        assert [
            sentence
            for sentence in said
            if "wild, seed 0, failed: loss or gradient is not finite at step: 1" in sentence
        ]
        assert [len(row.done) for row in standings.rows] == [0, 1]
        assert standings.rows[0].failed == {0: "loss or gradient is not finite at step: 1"}


def test_with_more_epochs_every_run_goes_on(plan, protocol, config, whole):
    said = []
    longer = Plan(config(epochs=3), plan.rivals, (0,))
    standings = compare(longer, protocol, whole, tell=said.append)
    assert said.count("going on from step 6 of 9") == 2
    assert {outcome.views for row in standings.rows for outcome in row.done} == {54}


def test_a_label_given_to_another_method_loses_nothing(plan, protocol, whole):
    before = grids(whole)
    with pytest.raises(CheckpointMismatch, match="method was 'l2'"):
        compare(Plan(plan.base, (Rival("L2", "cosine"),), (0,)), protocol, whole, tell=quiet)
    assert grids(whole) == before


def test_a_run_that_another_process_is_at_is_left_to_it(plan, protocol, whole):
    place, said = whole / "runs" / "l2" / "0", []
    (place / FILE).unlink()
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        compare(plan, protocol, whole, tell=said.append)
    assert "run 1 of 4: L2, seed 0, is another process's" in said
    assert set(grids(whole)) == {"l2/1", "proxylesskd/0", "proxylesskd/1"}


def test_a_sampler_with_shorter_epochs_has_more_of_them(config, people, protocol, tmp_path):
    more = tmp_path / "people"
    shutil.copytree(people, more)
    shutil.copytree(people / "person-0", more / "unlabelled")
    base = config(epochs=3, photos=(str(more),))
    rivals = (L2, Rival("CCKD", "0.1*none+cckd+cosine", {"sampler": "class-uniform"}))
    standings = compare(Plan(base, rivals, (0,)), protocol, tmp_path / "out", tell=quiet)
    assert [outcome.views for row in standings.rows for outcome in row.done] == [72, 72]


def test_less_than_three_seeds_are_remarked_upon(plan, protocol, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(module._Hall, "run", lambda *_: None)
    compare(plan, protocol, tmp_path, tell=said.append)
    assert said[0] == "fewer than 3 seeds: how much of a difference is chance cannot be told"


def test_without_a_teacher_there_is_nothing_to_compare(config, protocol, tmp_path):
    alone = Plan(config(teacher=None, dim=8), (Rival("nobody", "none"),), (0, 1, 2))
    with pytest.raises(PlanRefused, match="nobody to learn from"):
        compare(alone, protocol, tmp_path, tell=quiet)


def test_a_protocol_of_pairs_alone_cannot_tell_who_searches_best(plan, protocol, tmp_path):
    with pytest.raises(PlanRefused, match="nobody is searched for in the protocol: 'faces'"):
        compare(plan, replace(protocol, searches=()), tmp_path, tell=quiet)


def test_a_photo_of_the_protocol_that_is_not_there_is_named(plan, people, tmp_path):
    templates, _ = photo_templates({"person-0/0.png": "a", "nobody.png": "b"}, people)
    protocol = Protocol("faces", templates, (), (Search("", np.array([0]), np.array([1])),))
    with pytest.raises(ProtocolInvalid, match=r"nobody\.png"):
        compare(plan, protocol, tmp_path, tell=quiet)


class Averages(nn.Module):
    """A student that looks at the mean of three strips."""

    def forward(self, crops):
        return crops.mean(dim=(1, 2)).reshape(len(crops), 8, -1).mean(dim=2)


def test_the_exam_shows_a_student_what_its_recipe_asks_for(protocol, teacher, tmp_path):
    embedder = open_embedder(find_model(str(teacher)))
    exam = Examiner(protocol, embedder, tmp_path).exam(embedder.recipe.scaled(32, 32))
    assert exam.crops.shape == (18, 32, 32, 3)
    assert exam.vectors.shape == (18, embedder.space.dim)
    rows = embedded(Averages(), exam.crops)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    naive = ((exam.crops[3].astype(np.float64) - 127.5) / 128).mean(axis=(0, 2)).reshape(8, -1).mean(axis=1)
    np.testing.assert_allclose(rows[3], naive / np.linalg.norm(naive), rtol=1e-4)


def test_a_protocol_without_a_face_is_refused(protocol, teacher, tmp_path, monkeypatch):
    monkeypatch.setattr("kd.compare.exam.find_face", lambda *_: "no face found")
    embedder = open_embedder(find_model(str(teacher)))
    with pytest.raises(ProtocolInvalid, match="no photo of the protocol has a face: 'faces'"):
        Examiner(protocol, embedder, tmp_path).exam(embedder.recipe.scaled(32, 32))
    assert not list(tmp_path.iterdir())
