"""From photos to a report, a card and files."""

import json
import math
import pickle
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from faces.errors import CardInvalid, SpaceMismatch
from faces.models import open_embedder, read_model
from kd.errors import ProtocolInvalid
from kd.evaluate.answer import answer, headline
from kd.evaluate.documents import as_json, as_markdown, write_report
from kd.evaluate.figures import Figure
from kd.evaluate.readers import open_protocol
from kd.evaluate.report import as_table, evaluate, grid_of, write_measured
from kd.evaluate.sheets import sheets
from tests.app.parts import OTHER_SPACE, SquareDetector, write_model

PEOPLE, PHOTOS = 8, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """ROOT/PERSON/*.png: crops of 128 × 128; a person is a pattern, each photo a noisy copy; one file is torn."""
    root, rng = tmp_path_factory.mktemp("set") / "faces", np.random.default_rng(0)
    for person in range(PEOPLE):
        (root / f"p{person}").mkdir(parents=True)
        pattern = cv2.resize(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8), (128, 128))
        for photo in range(PHOTOS if person else 1):
            noisy = np.clip(pattern + rng.normal(0, 40, pattern.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / f"p{person}" / f"{photo}.png"), noisy)
    (root / "p1" / "2.png").write_bytes(b"torn")
    return root


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    home = tmp_path_factory.mktemp("models")
    teacher, student = write_model(home / "teacher"), write_model(home / "student", role="student", noise=0.8)
    return read_model(teacher), read_model(student)


@pytest.fixture(scope="module")
def report(folder, models):
    teacher, student = map(open_embedder, models)
    protocol = open_protocol(f"people:{folder}")
    return evaluate([protocol], SquareDetector(), teacher, student, resolutions=[56, 14], resamples=50)


def test_every_search_is_judged_at_every_resolution(report):
    small, large = (one.key for one in report.whole_searches)
    shown = [(one.key, one.pixels) for one in report.searches]
    assert shown == [(key, pixels) for pixels in (None, 56, 14) for key in (small, large)]
    assert [one.subjects for one in report.whole_searches] == [5, 6]
    assert all(list(one.cells) == ["T→T", "S→T", "S→S", "T→S"] for one in report.searches)


def test_a_torn_photo_is_listed_and_stays_in_the_rates(report):
    ((path, why),) = report.failed.items()
    assert (path.endswith("p1/2.png"), bool(why)) == (True, True)
    assert report.whole_searches[0].mated == 5 * (PHOTOS - 1)


def test_equal_runs_give_equal_reports(report, folder, models):
    teacher, student = map(open_embedder, models)
    again = evaluate(
        [open_protocol(f"people:{folder}")], SquareDetector(), teacher, student, resolutions=[14, 56, 14], resamples=50
    )
    assert as_json(again) == as_json(report)


def test_a_teacher_alone_is_judged_on_its_own_gallery(folder, models):
    report = evaluate([open_protocol(f"people:{folder}")], SquareDetector(), open_embedder(models[0]), resamples=5)
    assert all(list(one.cells) == ["T→T"] and one.comparison is None for one in report.searches)
    assert answer(report)[0].startswith("On its own gallery of 6 people teacher names ")
    assert "retention" not in as_markdown(report)


def test_a_model_of_another_space_is_refused_before_a_photo_is_read(folder, models, tmp_path):
    stranger = open_embedder(read_model(write_model(tmp_path / "stranger", space=OTHER_SPACE)))
    with pytest.raises(SpaceMismatch):
        evaluate([open_protocol(f"people:{folder}")], None, open_embedder(models[0]), stranger)


def test_two_protocols_of_one_name_are_refused(folder, models):
    protocol = open_protocol(f"people:{folder}")
    with pytest.raises(ProtocolInvalid, match="two protocols of one name"):
        evaluate([protocol, protocol], None, open_embedder(models[0]))


def test_the_card_takes_what_was_measured_on_the_photos_as_they_are(report, tmp_path):
    model = read_model(write_model(tmp_path / "model"))
    named = replace(report, searches=tuple(replace(one, protocol="mine") for one in report.searches))
    write_measured(model, named)
    measured = read_model(tmp_path / "model").card.measured
    assert set(measured) == {"squares", "mine-5", "mine-6"}  # what was there stays
    cell, found = measured["mine-5"]["S→T"], report.whole_searches[0].cells["S→T"]
    assert (cell.subjects, cell.mated, cell.non_mated, cell.pairs) == (5, 10, 6, None)
    assert cell.rank1 == round(found.rank["1"].value, 4)
    assert cell.thresholds.keys() == found.fnir.keys()


@pytest.mark.parametrize(
    ("score", "told"),
    [
        (0.61232, 0.6124),
        (0.61238, 0.6124),
        (0.6124, 0.6125),
        (-0.00001, 0.0),
        (1.0, 1.0001),
        (math.inf, math.inf),
        (math.nan, math.nan),
    ],
)
def test_the_threshold_on_a_card_keeps_out_the_stranger_that_it_was_set_by(report, score, told):
    above = float(np.nextafter(score, math.inf))
    search = report.whole_searches[0]
    cells = {
        name: replace(
            cell,
            fnir={fpir: replace(at, threshold=Figure(above, above, above)) for fpir, at in cell.fnir.items()},
        )
        for name, cell in search.cells.items()
    }
    thresholds = grid_of(report, replace(search, cells=cells))["S→T"].thresholds
    assert thresholds == pytest.approx(dict.fromkeys(search.cells["S→T"].fnir, told), abs=1e-12, nan_ok=True)
    assert all(threshold > score for threshold in thresholds.values() if math.isfinite(score))


def test_a_model_without_a_card_is_refused(report, models):
    with pytest.raises(CardInvalid, match=r"no card to write into.*under its own name, ending in \.json"):
        write_measured(replace(models[0], card_file=None), report)


def test_the_report_lands_as_files_that_need_no_others(report, tmp_path):
    page = write_report(report, tmp_path / "out").read_text()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.html", "report.json", "report.md", "plots"}
    pictures = sorted((tmp_path / "out" / "plots").iterdir())
    kinds = {path.stem.rsplit("-", 1)[1] for path in pictures}
    assert kinds == {"cmc", "fnir", "scores", "resolution"}
    assert all(cv2.imread(str(path)).shape[1] == 900 for path in pictures)
    assert page.count("<img") == page.count('alt="') == len(pictures)
    assert set(re.findall(r'(?:src|href)="([a-z]+:[a-z/+]*)', page)) == {"data:image/svg+xml"}
    assert "http" not in re.sub(r'src="data:[^"]*"', "", page)  # base64 may spell any four letters


def test_json_holds_every_figure_and_null_for_none(report):
    told = json.loads(as_json(report))
    rank = told["searches"][0]["cells"]["S→T"]["rank"]["1"]
    assert rank["low"] <= rank["value"] <= rank["high"]
    assert told["searches"][2]["cells"]["S→T"]["curves"] is None  # drawn of the photos as they are alone
    broken = replace(report.whole_searches[0], comparison=None)
    assert json.loads(as_json(replace(report, searches=(broken,))))["searches"][0]["comparison"] is None


def test_names_are_escaped_in_the_page(report, tmp_path):
    cunning = replace(report, student=replace(report.student, name="<script>alert(1)</script>"))
    assert "<script" not in write_report(replace(cunning, searches=(), pairs=()), tmp_path).read_text()


def test_each_table_is_as_wide_as_its_head(report):
    made = sheets(report)
    assert [sheet.title for sheet in made] == [
        "1:N, the 2×2",
        "The student in the teacher's gallery",
        "Threshold transfer",
        "Impostor scores",
        "Rank-1 by resolution of the probe",
        "FNIR at FPIR 0.01 by resolution of the probe",
    ]
    assert all(len(row) == len(sheet.head) for sheet in made for row in sheet.rows)
    assert made[4].head[-3:] == ("as it is", "56 px", "14 px")
    assert len(as_table(report).renderables) == 1 + len(made)


def retaining(report, retention, **transfer):
    """The report with another retention, and another transfer at FPIR 0.01, of its largest gallery."""
    largest = headline(report)
    compared = largest.comparison
    moved = {
        **compared.transfer,
        "0.01": replace(
            compared.transfer["0.01"], **{name: Figure(value, value, value) for name, value in transfer.items()}
        ),
    }
    changed = replace(compared, retention=Figure(retention, retention - 0.01, retention + 0.01), transfer=moved)
    return replace(report, searches=(replace(largest, comparison=changed),))


@pytest.mark.parametrize(
    ("retention", "verdict"),
    [(1.02, "Yes:"), (0.97, "Yes:"), (0.9, "Yes, at a cost:"), (0.6, "In part:"), (0.1, "No:")],
)
def test_the_first_words_are_the_verdict(report, retention, verdict):
    first, *_ = answer(retaining(report, retention))
    assert first.startswith(f"{verdict} in teacher's gallery of 6 people student finds {100 * retention:.0f} %")
    assert "at the threshold 0." in first


@pytest.mark.parametrize(
    ("transfer", "advice"),
    [
        ({"fpir": 0.5, "fnir": 0.0}, "lets strangers in"),
        ({"fpir": 0.0, "fnir": 1.1}, "too strict"),
        ({"fpir": 0.01, "fnir": 0.0}, "can stay"),
    ],
)
def test_the_last_words_say_what_becomes_of_the_old_threshold(report, transfer, advice):
    assert advice in answer(retaining(report, 0.9, **transfer))[-1]


def test_a_teacher_that_finds_nobody_proves_nothing(report):
    assert answer(retaining(report, math.nan)) == ["Nobody can tell: teacher finds nobody in its own gallery."]


def test_pairs_alone_answer_no_search(report):
    assert "nothing was searched" in answer(replace(report, searches=()))[0]


def test_a_bin_is_judged_by_pairs(models, folder, tmp_path):
    shown = [folder / f"p{person}" / f"{photo}.png" for person in range(2, PEOPLE) for photo in range(2)]
    crops = [path.read_bytes() for path in shown]
    pairs = [(crops[i], crops[i + 1]) for i in range(0, 12, 2)] + [
        (crops[i], crops[(i + 3) % 12]) for i in range(0, 12, 2)
    ]
    mixed = [pairs[i // 2 + 6 * (i % 2)] for i in range(12)]
    files, same = [file for pair in mixed for file in pair], [i % 2 == 0 for i in range(12)]
    (tmp_path / "drawn.bin").write_bytes(pickle.dumps((files, same), protocol=4))
    report = evaluate([open_protocol(f"bin:{tmp_path / 'drawn.bin'}")], None, *map(open_embedder, models), resamples=20)
    (result,) = report.pairs
    assert (result.key, result.genuine, result.impostor, report.searches) == ("drawn-pairs", 6, 6, ())
    assert result.cells["T→T"].accuracy.value > 0.8
    assert result.cells["T→T"].tar == {}  # six impostors tell no FAR
    assert "1:1" in as_markdown(report)
