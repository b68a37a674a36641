"""1:N against loops that follow NIST's definitions word by word."""

import math

import numpy as np
import pytest

from kd.evaluate.bootstrap import draw_subjects
from kd.evaluate.rates import NO_FACE
from kd.evaluate.search import FPIRS, find, flip_samples, parts_of, search_curves, search_samples, transfer_samples
from tests.kd.evaluate.parts import drawn_rows, search_of

ENROLLED, PROBES = 30, 40
ROUNDING = 1e-6  # a product of matrices and one of vectors sum in another order


@pytest.fixture(params=[0, 1, 2])
def drawn(request):
    """15 people enrolled, most with two templates; probes of them and of 10 others; a tenth of all without a face."""
    rng = np.random.default_rng(request.param)
    subjects = [f"p{n}" for n in rng.integers(0, 15, ENROLLED)] + [f"p{n}" for n in rng.integers(0, 25, PROBES)]
    protocol = search_of(subjects, ENROLLED)
    rows = [drawn_rows(len(subjects), seed=10 * request.param + side, without_face=0.1) for side in (1, 2)]
    return protocol, *rows


def naive(protocol, probes, gallery):
    """(probe, mated, {Subject: best score}) for each probe, one comparison after the other."""
    (search,) = protocol.searches
    enrolled = {protocol.templates[i].subject for i in search.gallery}
    for probe in search.probes:
        best = dict.fromkeys(enrolled, NO_FACE)
        for i in search.gallery:
            subject = protocol.templates[i].subject
            if probes.there[probe] and gallery.there[i]:
                score = float(np.dot(probes.vectors[probe], gallery.vectors[i]))
                best[subject] = max(best[subject], score)
        yield probe, protocol.templates[probe].subject in enrolled, best


def naive_rank(best, subject):
    if best[subject] == NO_FACE:
        return len(best) + 1
    return sum(score >= best[subject] - ROUNDING for score in best.values())


def searched(protocol, probes, gallery):
    subjects = protocol.subjects()
    parts = parts_of(protocol.searches[0], subjects)
    return parts, subjects, find(parts, subjects, probes, gallery)


def test_every_probe_is_searched_among_all_enrolled_people(drawn):
    protocol, probes, gallery = drawn
    _, _, found = searched(protocol, probes, gallery)
    mated = [
        (best, protocol.templates[i].subject) for i, is_mated, best in naive(protocol, probes, gallery) if is_mated
    ]
    strangers = [best for _, is_mated, best in naive(protocol, probes, gallery) if not is_mated]
    assert found.rank.tolist() == [naive_rank(best, subject) for best, subject in mated]
    assert found.mate == pytest.approx([best[subject] for best, subject in mated], abs=1e-6)
    assert found.strangers == pytest.approx([max(best.values()) for best in strangers], abs=1e-6)


def test_fnir_and_fpir_are_nists(drawn):
    protocol, probes, gallery = drawn
    parts, subjects, found = searched(protocol, probes, gallery)
    weights = draw_subjects(subjects, subjects.max() + 1, resamples=3, seed=0)
    samples = search_samples(found, parts, subjects, weights)
    everybody = list(naive(protocol, probes, gallery))
    for fpir in FPIRS:
        threshold = samples[f"threshold {fpir:g}"][0] + ROUNDING
        answered = [max(best.values()) >= threshold for _, mated, best in everybody if not mated]
        assert sum(answered) <= fpir * len(answered)
        missed = [
            naive_rank(best, protocol.templates[i].subject) > 1 or best[protocol.templates[i].subject] < threshold
            for i, mated, best in everybody
            if mated
        ]
        assert samples[f"fnir {fpir:g}"][0] == pytest.approx(np.mean(missed))


def test_each_resample_counts_its_people_as_often_as_they_were_drawn(drawn):
    protocol, probes, gallery = drawn
    parts, subjects, found = searched(protocol, probes, gallery)
    weights = draw_subjects(subjects, subjects.max() + 1, resamples=5, seed=1)
    samples = search_samples(found, parts, subjects, weights)
    really = transfer_samples(found, {"0.1": 0.6}, parts, subjects, weights)
    for row, times in enumerate(weights.astype(int)):
        rank = np.repeat(found.rank, times[subjects[parts.mated]])
        mate = np.repeat(found.mate, times[subjects[parts.mated]])
        strangers = np.repeat(found.strangers, times[subjects[parts.strangers]])
        threshold = samples["threshold 0.1"][row]
        assert (strangers >= threshold).mean() <= 0.1
        assert samples["rank 5"][row] == pytest.approx((rank <= 5).mean())
        assert samples["fnir 0.1"][row] == pytest.approx(((rank > 1) | (mate < threshold)).mean())
        assert really["fpir 0.1"][row] == pytest.approx((strangers >= 0.6).mean())
        assert really["fnir 0.1"][row] == pytest.approx(((rank > 1) | (mate < 0.6)).mean())


def test_a_negative_flip_is_a_probe_that_only_the_teacher_finds(drawn):
    protocol, probes, gallery = drawn
    parts, subjects, teacher = searched(protocol, gallery, gallery)
    _, _, student = searched(protocol, probes, gallery)
    once = np.ones((1, subjects.max() + 1))
    lost = [t == 1 and s > 1 for t, s in zip(teacher.rank, student.rank, strict=True)]
    assert flip_samples(teacher, student, parts, subjects, once)[0] == pytest.approx(np.mean(lost))
    assert flip_samples(teacher, teacher, parts, subjects, once)[0] == 0


def test_impostors_are_all_comparisons_of_different_people(drawn):
    protocol, probes, gallery = drawn
    _, _, found = searched(protocol, probes, gallery)
    (search,) = protocol.searches
    scores = [
        float(np.dot(probes.vectors[i], gallery.vectors[j]))
        for i in search.probes
        for j in search.gallery
        if protocol.templates[i].subject != protocol.templates[j].subject and probes.there[i] and gallery.there[j]
    ]
    assert found.impostors.mean == pytest.approx(np.mean(scores), abs=1e-6)
    assert found.impostors.deviation == pytest.approx(np.std(scores), abs=1e-6)
    assert found.impostors.tail == 0.01  # 1,200 comparisons can tell a hundredth, not a thousandth
    assert found.impostors.quantile == pytest.approx(sorted(scores, reverse=True)[len(scores) // 100], abs=1e-6)


def test_a_model_that_answers_everybody_alike_finds_nobody():
    protocol = search_of(["ada", "bob", "ada", "bob", "cy"], 2)
    same = drawn_rows(5, seed=0)
    same.vectors[:] = same.vectors[0]
    _, _, found = searched(protocol, same, same)
    assert found.rank.tolist() == [2, 2]


def test_a_closed_set_has_no_false_alarms():
    protocol = search_of(["ada", "bob", "ada"], 2)
    rows = drawn_rows(3, seed=0)
    parts, subjects, found = searched(protocol, rows, rows)
    weights = draw_subjects(subjects, 2, resamples=2, seed=0)
    assert set(search_samples(found, parts, subjects, weights)) == {"rank 1", "rank 5", "rank 10"}
    curves = search_curves(found, np.linspace(-1, 1, 5), 2)
    assert (curves.fpir, sum(curves.mates), sum(curves.strangers)) == ((), 1, 0)


def test_nobody_with_a_face_leaves_rates_and_no_scores():
    protocol = search_of(["ada", "bob", "ada", "cy"], 2)
    nobody = drawn_rows(4, seed=0, without_face=1.1)
    parts, subjects, found = searched(protocol, nobody, nobody)
    samples = search_samples(found, parts, subjects, np.ones((1, 3)))
    assert (samples["rank 1"][0], samples["fnir 0.1"][0]) == (0, 1)
    assert math.isnan(found.impostors.mean)
