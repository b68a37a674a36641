"""The table, the JSON and the plot of a comparison."""

import json

import pytest

from kd.compare.plan import Plan
from kd.compare.plot import as_png
from kd.compare.report import as_json, as_markdown, write_plot, write_report
from kd.compare.standings import Row, Standings
from tests.kd.compare.parts import SEARCH, outcome, row

L2 = row("L2", "l2", 0.50, 0.52, 0.54)
FAILED = outcome(0, failed="loss is not finite at step: 7")
BROKEN = Row(row("broken", "proxyless").rival, {0: FAILED})
HALF = Row(row("half", "cosine").rival, {0: outcome(0.4), 1: FAILED, 2: outcome(0.5)})


@pytest.fixture
def plan(config):
    return Plan(config(), (L2.rival, BROKEN.rival), (0, 1, 2))


def lines(text, label):
    return [line for line in text.splitlines() if line.startswith(f"| {label} |")]


def test_a_method_has_a_row_for_each_gallery(plan):
    assert lines(as_markdown(plan, Standings((L2,)), 3.0), "L2") == [
        "| L2 | `l2` | S→T | 0.900 ± 0.000 | 0.520 ± 0.020 | 0.500 ± 0.000 | – | 0.650 ± 0.025 | 2.00 | 3 |",
        "| L2 | `l2` | S→S | 0.900 ± 0.000 | 0.300 ± 0.000 | 0.500 ± 0.000 | – | 0.375 ± 0.000 | 2.00 | 3 |",
    ]


def test_the_teacher_stands_first(plan):
    text = as_markdown(plan, Standings((L2,)), 3.0)
    assert lines(text, "the teacher itself") == [
        "| the teacher itself |  | T→T | 0.900 | 0.800 | 0.100 | – | 1.000 |  |  |"
    ]


def test_every_line_of_the_table_is_as_long_as_its_head(plan):
    table = [line for line in as_markdown(plan, Standings((L2, BROKEN, HALF)), 3.0).splitlines() if line[:1] == "|"]
    assert {line.count("|") for line in table} == {table[0].count("|")}


def test_a_failed_run_is_a_row_that_says_so(plan):
    text = as_markdown(plan, Standings((L2, BROKEN, HALF)), 3.0)
    assert lines(text, "broken")[0].endswith("| 0; seed 0 failed: loss is not finite at step: 7 |")
    assert lines(text, "half")[0].endswith("| 2; seed 1 failed: loss is not finite at step: 7 |")
    assert "5 of 6 runs are done" in text


def test_the_conditions_are_stated(plan):
    text = as_markdown(plan, Standings((L2,)), 3.21)
    assert "slimresnet, width 0.25, 32 pixels; 1,000 views a run, 2 different ones of a photo." in text
    assert "3 of 6 runs are done, seeds 0, 1, 2" in text
    assert "3.21 s for 1,000 views" in text


def test_the_json_holds_every_run_and_what_was_shared(plan):
    read = json.loads(as_json(plan, Standings((L2, BROKEN)), 3.0))
    assert read["base"] == json.loads(json.dumps(plan.base.to_dict()))
    assert [run["grids"][SEARCH]["S→T"]["rank1"] for run in read["rows"][0]["outcomes"].values()] == [0.50, 0.52, 0.54]
    assert read["rows"][1]["outcomes"]["0"]["failed"] == "loss is not finite at step: 7"
    assert read["teacher"][SEARCH]["rank1"] == 0.8


def test_the_plot_shows_methods_of_any_number_of_seeds():
    assert as_png(Standings((L2, HALF, row("once", "margin", 0.3), BROKEN))).startswith(b"\x89PNG")


def test_before_the_first_run_is_done_there_is_a_table_without_figures(plan, tmp_path):
    empty = Standings((Row(L2.rival, {}), BROKEN))
    write_report(plan, empty, tmp_path, teacher_seconds=3.0)
    write_plot(empty, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["comparison.json", "comparison.md"]
    assert "no views a run" in (tmp_path / "comparison.md").read_text(encoding="utf-8")
