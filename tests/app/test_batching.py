"""What goes together, and whose turn it is."""

from concurrent.futures import Future

import pytest

from app.batching import Entry, Line, Stage, next_batch
from app.errors import DeadlinePassed


def line(name="stage", *items, **options):
    made = Line(Stage(name, list, **options))
    for item in items:
        made.add(entry(item))
    return made


def entry(item, deadline=100.0):
    return Entry(item, deadline, Future())


def turn(*lines, now=0.0):
    """The Stage whose turn it is, and the items of its batch."""
    batch = next_batch(lines, now)
    return batch and (batch.stage.name, [entry.item for entry in batch.entries])


def test_nothing_waits_nothing_is_to_be_done():
    assert turn() is None
    assert turn(line(), line()) is None


def test_what_waits_goes_together_up_to_the_limit_first_come_first_served():
    waiting = line("stage", 1, 2, 3, limit=2)
    assert turn(waiting) == ("stage", [1, 2])
    assert turn(waiting) == ("stage", [3])


def test_what_was_begun_is_finished_before_more_is_begun():
    first, last = line("first", 1, 2), line("last", 3)
    assert [turn(first, last) for _ in range(3)] == [("last", [3]), ("first", [1]), ("first", [2])]


def test_a_patient_stage_lets_others_go_first_until_it_fills_a_batch():
    look, embed = line("look", "a", "b"), line("embed", 1, 2, limit=3, patient=True)
    assert turn(look, embed) == ("look", ["a"])
    embed.add(entry(3))
    assert turn(look, embed) == ("embed", [1, 2, 3])


def test_a_patient_stage_does_not_wait_for_nothing():
    look, embed = line("look"), line("embed", 1, limit=3, patient=True)
    assert turn(look, embed) == ("embed", [1])


def test_a_batch_of_one_key_is_filled_by_items_of_that_key_alone():
    look = line("look", "a")
    embed = line("embed", 1, 2, 3, 5, limit=3, key=lambda item: item % 2, patient=True)
    assert turn(look, embed) == ("embed", [1, 3, 5])
    assert turn(look, embed) == ("look", ["a"])
    assert turn(look, embed) == ("embed", [2])


def test_an_item_larger_than_a_batch_fills_one():
    look, embed = line("look", "a"), line("embed", 7, 1, limit=4, size=int, patient=True)
    assert turn(look, embed) == ("embed", [7])


def test_what_was_cancelled_is_passed_over():
    waiting = line(limit=3)
    entries = [entry(i) for i in range(4)]
    for each in entries:
        waiting.add(each)
    entries[0].future.cancel()
    entries[2].future.cancel()
    assert turn(waiting) == ("stage", [1, 3])


def test_what_is_cancelled_at_the_last_moment_does_not_leave_the_rest_waiting():
    """Cancelled between the look at the line and the taking, which no lock holds together."""
    waiting, late = line(), entry(1)
    waiting.add(late)
    waiting.add(entry(2))
    waiting.drop_dead(0.0)
    late.future.cancel()
    batch = waiting.take()
    assert [each.item for each in batch.entries] == [2]


def test_a_deadline_is_the_last_moment_at_which_a_run_may_begin():
    waiting = line()
    for each in (in_time := entry(1, deadline=5.0), late := entry(2, deadline=4.9)):
        waiting.add(each)
    assert turn(waiting, now=5.0) == ("stage", [1])
    assert turn(waiting, now=5.0) is None
    assert not in_time.future.done()
    with pytest.raises(DeadlinePassed, match="'stage'"):
        late.future.result(0)
