"""Is a new model good enough? Nothing is loaded here: a probe is what two models found for it."""

import pytest

from app.trial import Floor, Trial, compare, doubts, faults
from index.gallery import Candidate
from index.threshold import Threshold

FLOOR = Floor(fnir=0.05, kept=0.9)


def threshold(value=0.5, fpir=0.01):
    return Threshold(value, fpir, 300, "f" * 16, "gallery", "2026-11-28")


def found(*subjects, score=0.9):
    """Candidates, best first."""
    return [Candidate(subject, subject, score - 0.01 * i, i) for i, subject in enumerate(subjects)]


RIGHT, UNSURE, WRONG = found("ada"), found("ada", score=0.3), found("bob", "ada")


def mated(old, new, count=1):
    return [Trial(f"ada{number}", "ada", old, new) for number in range(count)]


def stranger(old, new, count=1):
    return [Trial(f"zoe{number}", None, old, new) for number in range(count)]


NOBODY = found("ada", score=0.1)


def compared(*groups, fpir=0.01):
    return compare([trial for group in groups for trial in group], threshold(fpir=fpir), threshold(fpir=fpir))


def test_a_mate_at_rank_1_over_the_threshold_is_no_miss_and_all_else_is():
    for candidates, misses, ranked in ((RIGHT, 0, 1), (UNSURE, 1, 1), (WRONG, 1, 0), ([], 1, 0)):
        side = compared(mated(RIGHT, candidates)).new
        assert (side.fnir.count, side.rank1.count) == (misses, ranked)


def test_a_stranger_that_is_answered_with_somebody_is_a_false_alarm():
    result = compared(stranger(NOBODY, RIGHT, 3), stranger(NOBODY, [], 2))
    assert (result.new.fpir.count, result.new.fpir.of, result.old.fpir.count) == (3, 5, 0)
    assert result.new.rank1.of == 0


def test_each_model_is_judged_at_its_own_threshold():
    trials = mated(found("ada", score=0.6), found("ada", score=0.6))
    result = compare(trials, threshold(0.5), threshold(0.7))
    assert (result.old.fnir.count, result.new.fnir.count) == (0, 1)


def test_what_is_kept_counts_what_the_old_model_had_right_alone():
    result = compared(mated(RIGHT, RIGHT, 8), mated(RIGHT, WRONG, 2), mated(WRONG, RIGHT, 5), mated(WRONG, WRONG, 1))
    assert (result.kept.count, result.kept.of) == (8, 10)
    assert (result.agreement.count, result.agreement.of) == (9, 16)


def test_decisions_are_compared_over_all_probes():
    result = compared(
        mated(RIGHT, RIGHT, 4), mated(RIGHT, UNSURE, 1), stranger(NOBODY, NOBODY, 3), stranger(NOBODY, RIGHT)
    )
    assert (result.alike.count, result.alike.of) == (7, 9)


def test_as_good_a_model_passes():
    assert faults(compared(mated(RIGHT, RIGHT, 40), stranger(NOBODY, NOBODY, 40)), FLOOR) == []


def test_a_better_model_passes_however_often_it_disagrees():
    result = compared(mated(RIGHT, RIGHT, 20), mated(WRONG, RIGHT, 20))
    assert result.agreement.value == 0.5
    assert faults(result, FLOOR) == []


@pytest.mark.parametrize(("missed", "refused"), [(1, 0), (2, 1)])
def test_fnir_may_rise_by_the_floor_and_no_more(missed, refused):
    result = compared(mated(RIGHT, RIGHT, 20 - missed), mated(RIGHT, UNSURE, missed))
    assert len(faults(result, FLOOR)) == refused


@pytest.mark.parametrize(("lost", "refused"), [(2, 0), (3, 1)])
def test_nine_in_ten_of_what_was_right_must_stay_right(lost, refused):
    result = compared(mated(RIGHT, RIGHT, 20 - lost), mated(RIGHT, WRONG, lost))
    assert len(faults(result, Floor(fnir=1, kept=0.9))) == refused


def test_more_false_alarms_than_promised_are_refused_when_they_are_certain():
    certain = compared(mated(RIGHT, RIGHT, 5), stranger(NOBODY, RIGHT, 6), stranger(NOBODY, NOBODY, 34))
    chance = compared(mated(RIGHT, RIGHT, 5), stranger(NOBODY, RIGHT, 1), stranger(NOBODY, NOBODY, 39))
    assert "0.150 are answered with somebody" in faults(certain, FLOOR)[0]
    assert faults(chance, FLOOR) == []


def test_no_more_false_alarms_than_before_are_no_reason():
    assert faults(compared(mated(RIGHT, RIGHT), stranger(RIGHT, RIGHT, 20), stranger(NOBODY, NOBODY, 20)), FLOOR) == []


def test_where_a_user_chose_the_threshold_the_old_models_alarms_are_the_measure():
    calm = compared(mated(RIGHT, RIGHT), stranger(RIGHT, RIGHT, 2), stranger(NOBODY, NOBODY, 38), fpir=None)
    wild = compared(mated(RIGHT, RIGHT), stranger(RIGHT, RIGHT, 2), stranger(NOBODY, RIGHT, 38), fpir=None)
    assert faults(calm, FLOOR) == []
    assert len(faults(wild, FLOOR)) == 1


def test_few_probes_leave_doubts_and_do_not_refuse():
    result = compared(mated(RIGHT, RIGHT, 5))
    assert faults(result, FLOOR) == []
    assert [doubt.split()[0] for doubt in doubts(result, FLOOR)] == ["FNIR", "it", "no"]


def test_many_probes_leave_none():
    assert doubts(compared(mated(RIGHT, RIGHT, 200), stranger(NOBODY, NOBODY, 300)), FLOOR) == []


def test_a_floor_is_read_in_parts_over_a_default():
    assert Floor.parse("") == Floor()
    assert Floor.parse(" kept=0.8 ", Floor(fnir=0.2)) == Floor(fnir=0.2, kept=0.8)
    assert Floor.parse(str(Floor(0.125, 0.5))) == Floor(0.125, 0.5)


@pytest.mark.parametrize("text", ["rank=0.9", "fnir", "fnir=", "fnir=high", "kept=1.1", "fnir=-0.1", "fnir=nan"])
def test_what_is_no_floor_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        Floor.parse(text)
