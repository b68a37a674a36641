"""The program `kd`, as a user types it."""

import errno
import json
import os
import shlex

import pytest
from click.testing import CliRunner

from faces.align import RECIPES
from faces.models import find_model, read_model
from kd.cli import main
from kd.data.samplers import SAMPLERS
from kd.margins import MARGINS

SMALL = ["--backbone", "slimresnet", "--width", "0.25", "--side", "32", "--batch", "6", "--views", "2"]


def kd(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def run(people, teacher, tmp_path):
    result = kd("train", people, "--teacher", teacher, "--out", tmp_path / "run", "--epochs", 1, *SMALL)
    assert result.exit_code == 0, result.output
    return tmp_path / "run"


def test_train_says_where_the_student_is_and_what_comes_next(run, people, teacher):
    again = kd("train", people, "--teacher", teacher, "--out", run, "--epochs", 1, *SMALL)
    assert "going on from step 3 of 3" in again.stderr
    first, then = again.stdout.strip().removeprefix(f"trained: {run}. Next: ").split(", then ")
    assert (shlex.split(first), shlex.split(then)) == (
        ["kd", "export", str(run), "--out", "MODEL"],
        ["kd", "evaluate", "MODEL", "--teacher", str(teacher), "--protocol", "PROTOCOL"],
    )


def test_what_comes_next_works_as_it_is_written(run, teacher, people, lists, tmp_path, monkeypatch):
    monkeypatch.setattr("kd.cli.open_detector", lambda: None)
    monkeypatch.setattr("kd.quantize.quantize", lambda *_, **__: read_model(tmp_path / "MODEL").card)
    monkeypatch.chdir(tmp_path)
    again = kd("train", people, "--teacher", teacher, "--out", run, "--epochs", 1, *SMALL)
    first, then = (shlex.split(command)[1:] for command in again.stdout.partition(" Next: ")[2].split(", then "))
    assert kd(*first).exit_code == 0
    judged = kd(*[lists if word == "PROTOCOL" else word for word in then], "--photos", people)
    assert judged.exit_code == 0, judged.output
    quantized = kd("quantize", "MODEL", people, "--out", "MODEL")
    words = shlex.split(quantized.stdout.partition("yet: ")[2])[1:]
    given = {"PROTOCOL": lists, "TEACHER": teacher}
    assert kd(*[given.get(word, word) for word in words], "--photos", people).exit_code == 0
    assert read_model(tmp_path / "MODEL").card.measured


def test_export_names_the_model_after_its_folder(run, tmp_path):
    result = kd("export", run, "--out", tmp_path / "tiny", "--data-licence", "CC0-1.0")
    card = read_model(tmp_path / "tiny").card
    assert result.stdout.startswith(f"exported: {tmp_path / 'tiny'}, model {card.model_id}")
    assert (card.name, card.licence.data) == ("tiny", "CC0-1.0")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--teacher", "nobody", "no such Model: 'nobody'. Choose from base-dlib, base-dlib-int8, dlib"),
        ("--method", "magic", "no such method: 'magic'. Choose from adadistill, bct, cckd"),
        ("--margin", "triplet", "no such margin: 'triplet'"),
        ("--backbone", "vgg", "no such backbone: 'vgg'"),
        ("--schedule", "never", "no such schedule: 'never'. Choose from cosine, flat, step"),
        ("--sampler", "odd", "no such sampler: 'odd'"),
        ("--head", "int2", "no such store: 'int2'"),
        ("--method", "subsets", "subsets needs --subset-teacher"),
        ("--subset-teacher", "few=dlib", "not a subset teacher: 'few=dlib'. Write FIRST-LAST=MODEL"),
        ("--photos-each", "40-", "nobody has so many photos; the most is 6"),
        ("--batch", "64", "fewer faces than one batch: 18"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_1(people, teacher, tmp_path, option, value, said):
    words = ["train", people, "--teacher", teacher, "--out", tmp_path / "run", *SMALL, option, value]
    result = kd(*words)
    assert result.exit_code == 1
    assert said in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--seed", "-1"),
        ("--seed", str(2**63)),
        ("--view-seed", "-1"),
        ("--weight-decay", "-1"),
        ("--weight-decay", "inf"),
        ("--rate", "-1"),
        ("--rate", "0"),
        ("--clip", "-1"),
        ("--clip", "0"),
        ("--clip", "inf"),
        ("--decay", "-1"),
        ("--decay", "1.5"),
        ("--scale", "0"),
        ("--side", "100000"),
        ("--threads", "2147483647"),  # torch would try, and end the process
        ("--mixup", "nan"),
        ("--ema", "nan"),
        ("--margin-size", "nan"),
        ("--margin-size", "-0.1"),
    ],
)
def test_a_number_out_of_bounds_is_a_usage_error(people, teacher, tmp_path, option, value):
    result = kd("train", people, "--teacher", teacher, "--out", tmp_path / "run", *SMALL, option, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--width", "nan", "slimresnet has no width of: nan. Give a width from 0.05 to 8."),
        ("--width", "1e9", "slimresnet has no width of: 1000000000.0"),
        ("--method", "-1*proxyless", "not a weight: '-1'"),
        ("--method", "0*proxyless", "not a weight: '0'"),
    ],
)
def test_a_number_that_network_or_method_cannot_have_is_one_line(people, teacher, tmp_path, option, value, said):
    result = kd("train", people, "--teacher", teacher, "--out", tmp_path / "run", *SMALL, option, value)
    assert result.exit_code == 1
    assert said in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--teacher", "nobody", "no such Model: 'nobody'"),
        ("--backbone", "vgg", "no such backbone: 'vgg'"),
        ("--width", "0.01", "slimresnet has no width of: 0.01"),
        ("--sampler", "odd", "no such sampler: 'odd'"),
        ("--head", "int2", "no such store: 'int2'"),
        ("--margin-size", "0.5", "sphereface multiplies the angle by a whole number: 0.5"),
        ("--method", "cckd(gamma=-1)+cosine", "not a value for gamma: -1.0"),
        ("--method", "residual", "students of two halves: 'residual'. Choose a --backbone residual:NAME."),
    ],
)
def test_a_wrong_name_is_refused_before_a_photo_is_read_and_leaves_no_run(
    people, teacher, tmp_path, monkeypatch, option, value, said
):
    monkeypatch.setattr("kd.distil.prepare_people", None)
    margin = ["--margin", "sphereface"] if option == "--margin-size" else []
    words = ["train", people, "--teacher", teacher, "--out", tmp_path / "run", *SMALL, *margin, option, value]
    result = kd(*words)
    assert (result.exit_code, said in result.stderr) == (1, True), result.output
    assert not (tmp_path / "run").exists()


def test_relational_methods_alone_are_said_to_lead_nowhere(people, teacher, tmp_path):
    words = ["train", people, "--teacher", teacher, "--epochs", 1, *SMALL]
    alone = kd(*words, "--out", tmp_path / "alone", "--method", "rkd")
    both = kd(*words, "--out", tmp_path / "both", "--method", "rkd+cosine")
    assert alone.exit_code == both.exit_code == 0
    assert "cannot search the teacher's gallery" in alone.stderr
    assert "cannot search the teacher's gallery" not in both.stderr


def test_a_teacher_is_trained_exported_with_its_classifier_and_inherited_from(people, tmp_path):
    own = kd("teacher", "train", people, "--out", tmp_path / "own", "--epochs", 2, "--dim", 16, "--keep-epochs", *SMALL)
    assert own.exit_code == 0, own.output
    assert kd("export", tmp_path / "own", "--out", tmp_path / "teacher").exit_code == 0
    card = read_model(tmp_path / "teacher").card
    assert (card.role, card.dim, card.teacher_model_id) == ("teacher", 16, card.model_id)
    assert card.trained.command.startswith(f"kd teacher train {people}")
    student = ["train", people, "--teacher", tmp_path / "teacher", "--epochs", 1, *SMALL]
    multistep = kd(*student, "--out", tmp_path / "m", "--method", "multistep", "--epoch-teachers", tmp_path / "own")
    assert multistep.exit_code == 0, multistep.output
    unfit = kd(*student, "--out", tmp_path / "p", "--classifier", tmp_path / "teacher" / "classifier.safetensors")
    assert (unfit.exit_code, "accuracy" in unfit.stderr) == (1, True)  # two epochs make no teacher


def test_subset_teachers_teach_one_student(people, teacher, tmp_path):
    words = ["train", people, "--teacher", teacher, "--epochs", 1, *SMALL, "--out", tmp_path / "run"]
    result = kd(*words, "--method", "subsets", "--subset-teacher", f"1-6={teacher}")
    assert result.exit_code == 0, result.output


def test_the_card_holds_the_command_that_trained(run, tmp_path):
    kd("export", run, "--out", tmp_path / "tiny")
    words = shlex.split(read_model(tmp_path / "tiny").card.trained.command)
    again = kd(*words[1:], "--out", run)
    assert "going on from step 3 of 3" in again.stderr


def test_models_prints_what_a_backbone_costs():
    (cost,) = json.loads(kd("models", "slimresnet", "--json").stdout)
    assert (cost["parameters"], cost["flops"]) == (455_152, 2 * cost["macs"])


def test_help_names_what_there_is_to_choose():
    shown = " ".join(kd("train", "--help").stdout.split())
    assert {
        name for name in (*SAMPLERS, *MARGINS, "mobilefacenet-folded", "[default: 1-]") if name not in shown
    } == set()
    shown = " ".join(kd("teacher", "import", "--help").stdout.split())
    assert {name for name in RECIPES if name not in shown} == set()


@pytest.mark.parametrize(
    "words",
    [
        ["train", "PEOPLE", "--teacher", "dlib"],
        ["train", "PEOPLE", "--teacher", "dlib", "--out", "run", "--data"],
        ["export", "PEOPLE"],
        ["teacher", "import", "dlib"],
    ],
)
def test_a_folder_inside_a_file_is_a_usage_error(people, tmp_path, words):
    (tmp_path / "file.txt").write_text("a file")
    option = [] if words[-1].startswith("--") else ["--out"]
    result = kd(*[people if word == "PEOPLE" else word for word in words], *option, tmp_path / "file.txt" / "x")
    assert (result.exit_code, "would be inside the file" in " ".join(result.stderr.split())) == (2, True), result.output


@pytest.mark.parametrize("there", [True, False], ids=["is there", "is to be made"])
@pytest.mark.parametrize(
    "words",
    [
        ["train", "PEOPLE", "--teacher", "dlib", "--out"],
        ["teacher", "train", "PEOPLE", "--out"],
        ["teacher", "import", "dlib", "--out"],
        ["export", "PEOPLE", "--out"],
        ["quantize", "dlib", "PEOPLE", "--out"],
        ["evaluate", "dlib", "--protocol", "PEOPLE", "--report"],
        ["compare", "PEOPLE", "--teacher", "dlib", "--protocol", "PEOPLE", "--out"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_folder_without_the_right_to_write_is_a_usage_error(people, tmp_path, monkeypatch, words, there):
    may = os.access  # root may write everywhere
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK and may(path, mode))
    folder = tmp_path if there else tmp_path / "of" / "two"
    result = kd(*[people if word == "PEOPLE" else word for word in words], folder)
    assert (result.exit_code, "not writable" in " ".join(result.stderr.split())) == (2, True), result.output


def test_prepared_faces_that_may_not_be_written_are_one_line(people, teacher, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "data.7.part")

    monkeypatch.setattr("kd.distil.prepare_people", refuse)
    result = kd("train", people, "--teacher", teacher, "--out", tmp_path / "run", *SMALL)
    assert (result.exit_code, result.stderr.splitlines()[-1].split(". ")[0]) == (
        1,
        "Error: permission denied: 'data.7.part'",
    )


def test_a_run_that_failed_at_its_first_step_leaves_its_folder_to_the_next(people, teacher, tmp_path):
    words = ["train", people, "--teacher", teacher, "--epochs", 1, *SMALL, "--out", tmp_path / "run"]
    assert kd(*words, "--scale", "1e39").exit_code == 1
    corrected = kd(*words)
    assert corrected.exit_code == 0, corrected.output


def test_a_folder_of_photos_that_no_protocol_has_a_use_for_is_refused(people, teacher):
    words = ["evaluate", teacher, "--photos", people, "--protocol", f"people:{people}"]
    refused = kd(*words)
    assert (refused.exit_code, "only lists and templates have paths" in refused.stderr) == (1, True)


def test_a_missing_folder_is_a_usage_error(tmp_path):
    assert kd("train", tmp_path / "nowhere", "--teacher", "dlib", "--out", tmp_path).exit_code == 2


def test_evaluate_refuses_a_folder_without_a_protocol(teacher, tmp_path):
    result = kd("evaluate", teacher, "--photos", tmp_path, "--protocol", tmp_path)
    assert (result.exit_code, "Traceback" in result.output) == (1, False)


def test_evaluate_refuses_to_write_a_card_by_pairs_alone_before_it_opens_a_model(people, tmp_path):
    rows = [f"person-0/{fold}.png,person-{other}/2.png,{1 - other},{fold}" for fold in (0, 1) for other in (0, 1)]
    (tmp_path / "pairs.csv").write_text("\n".join(["photo_a,photo_b,same,fold", *rows]) + "\n")
    words = ["evaluate", "nobody", "--photos", people, "--protocol", tmp_path, "--write-card", "mine"]
    result = kd(*words)
    assert (result.exit_code, "nothing for a card" in result.stderr) == (1, True), result.output


@pytest.fixture
def lists(tmp_path):
    """Two of `people` are enrolled, the third is a stranger."""
    rows = [
        "person-0/0.png,0,gallery",
        "person-1/0.png,1,gallery",
        "person-0/1.png,0,probe",
        "person-2/0.png,2,nonmated",
    ]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "identification.csv").write_text("\n".join(["photo,subject,role", *rows]) + "\n")
    return tmp_path / "lists"


def test_a_comparison_with_a_run_that_fails_is_reported_and_is_no_success(people, teacher, lists, tmp_path):
    judged = ["--protocol", lists, "--judged-photos", people]
    rivals = ["--rival", "l2", "--rival", "wild=proxyless; scale=1e39", "--seeds", 1]
    words = [
        "compare",
        people,
        "--teacher",
        teacher,
        *judged,
        *rivals,
        "--epochs",
        1,
        *SMALL,
        "--out",
        tmp_path / "out",
    ]
    result = kd(*words)
    assert (result.exit_code, "Traceback" in result.output) == (1, False), result.output
    assert "seed 0 failed: loss or gradient is not finite" in result.stdout
    assert (
        result.stderr.splitlines()[-1]
        == "Error: runs failed: 1. The table says why; the same command tries them again."
    )


@pytest.mark.real
def test_evaluate_prints_the_grid_and_writes_it_into_the_card(shared, tmp_path):
    """Six people of the dev set; dlib knows them all."""
    import shutil

    rows = (shared / "data" / "lfw" / "protocol" / "dev_identification.csv").read_text().splitlines()
    gallery = [row for row in rows[1:] if row.endswith("gallery")][:6]
    people = {row.split(",")[1] for row in gallery}
    probes = [row for row in rows[1:] if row.endswith("probe") and row.split(",")[1] in people][:6]
    strangers = [row for row in rows[1:] if row.endswith("nonmated")][:6]
    (tmp_path / "identification.csv").write_text("\n".join([rows[0], *gallery, *probes, *strangers]) + "\n")
    model = tmp_path / "student"
    shutil.copytree(find_model("small-dlib").onnx.parent, model)
    photos = shared / "data" / "lfw" / "dev"
    words = ["evaluate", model, "--teacher", "dlib", "--photos", photos, "--protocol", tmp_path, "--write-card", "six"]
    result = kd(*words, "--json", "--report", tmp_path / "report")
    printed = json.loads(result.stdout)
    (search,) = printed["searches"]
    assert set(search["cells"]) == {"T→T", "S→T", "S→S", "T→S"}
    card = read_model(model).card.measured["six-6"]
    assert card["T→T"].rank1 == 1.0
    assert card["S→T"].rank1 >= 0.5
    assert (tmp_path / "report" / "report.html").is_file()
