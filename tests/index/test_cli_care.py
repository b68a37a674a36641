"""The commands that look after a store, as a user meets them."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from index import audit as audit_module
from index import cli
from index.backup import folder_of
from index.gallery import create_gallery, open_gallery
from index.sealing import KEY, OLD_KEY
from tests.index.fakes import SPACE, random_rows, templates

Run = Callable[..., Result]
ONE, TWO = bytes(range(32)).hex(), bytes(range(100, 132)).hex()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in (KEY, OLD_KEY, "HEIRLOOM_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    return lambda *words, **env: CliRunner().invoke(cli.main, [str(word) for word in words], env=env)


@pytest.fixture
def built(path: Path) -> Path:
    with create_gallery(path, SPACE) as gallery:
        gallery.enrol("ada", templates(*random_rows(2, seed=1)), space=SPACE)
        gallery.enrol("bob", templates(*random_rows(1, seed=2)), space=SPACE)
    return path


def people(path: Path) -> list[str]:
    with open_gallery(path) as gallery:
        return [subject.subject_id for subject in gallery.subjects(9)]


def test_backup_and_restore(run, built, tmp_path):
    result = run("backup", "--gallery", built, "--json")
    backup = json.loads(result.stdout)
    assert (backup["subjects"], backup["controlled"], Path(backup["path"]).parent) == (2, True, folder_of(built))
    goal = tmp_path / "again.heirloom"
    assert "2 subjects, 3 templates" in run("restore", backup["path"], "--gallery", goal).stdout
    assert people(goal) == ["ada", "bob"]


def test_restore_refuses_to_replace_and_says_how(run, built):
    backup = json.loads(run("backup", "--gallery", built, "--json").stdout)["path"]
    result = run("restore", backup, "--gallery", built)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--force" in result.stderr
    forced = run("restore", backup, "--gallery", built, "--force")
    assert forced.exit_code == 0
    assert "what was there before:" in forced.stdout


def test_a_backup_elsewhere_is_said_to_be_the_users(run, built, tmp_path):
    assert "yours to delete" in run("backup", "--gallery", built, "--to", tmp_path / "mine.heirloom").stdout


def test_forget_reaches_the_backups(run, built):
    backup = json.loads(run("backup", "--gallery", built, "--json").stdout)["path"]
    assert run("forget", "ada", "--gallery", built, "--yes").exit_code == 0
    assert people(Path(backup)) == ["bob"]


def test_forget_with_a_backup_that_cannot_be_opened_is_not_complete_and_names_it(run, built):
    folder_of(built).mkdir()
    (folder_of(built) / "old.heirloom").write_bytes(b"damaged")
    result = run("forget", "ada", "--gallery", built, "--yes")
    assert result.exit_code == 1
    assert "still in: " in result.stdout
    assert "old.heirloom" in result.stdout


def test_forget_verified_prints_a_receipt(run, built):
    run("backup", "--gallery", built)
    result = run("forget", "ada", "--gallery", built, "--verify", "--yes")
    assert result.exit_code == 0, result.output
    assert "  fp16: 2 looked for; before: 2 in people.heirloom, 2 in people.heirloom.backups/" in result.stdout
    assert "after: none" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("erased: found in none of ")


def test_forget_verified_as_json(run, built):
    proof = json.loads(run("forget", "ada", "--gallery", built, "--verify", "--yes", "--json").stdout)
    assert proof["receipt"]["subject_id"] == "ada"
    assert [(seen["what"], seen["after"]) for seen in proof["sightings"] if seen["sought"]] == [
        ("fp16", {}),
        ("fp32", {}),
    ]


def test_export_and_import_between_two_stores(run, built, tmp_path):
    file = tmp_path / "people.npz"
    assert "openssl rand" in run("export", file, "--gallery", built).stderr
    result = run("export", file, "--gallery", built, HEIRLOOM_SIGNING_KEY=ONE)
    public = result.stdout.split()[-1]
    goal = tmp_path / "other.heirloom"
    assert "--signed-by" in run("import", file, "--gallery", goal).stderr
    done = run("import", file, "--gallery", goal, "--signed-by", public)
    assert done.stdout == "imported 2 subjects, 3 templates, 0 negative examples into default\n"
    assert people(goal) == ["ada", "bob"]
    again = run("import", file, "--gallery", goal, "--json", HEIRLOOM_SIGNING_KEY=ONE)
    assert json.loads(again.stdout)["already"] == ["ada", "bob"]


def test_subject_tells_all_that_is_held(run, built):
    held = json.loads(run("subject", "ada", "--gallery", built).stdout)
    assert len(held["collections"]["default"]["templates"]) == 2
    assert "embedding" not in json.dumps(held)
    assert '"embedding"' in run("subject", "ada", "--gallery", built, "--embeddings").stdout


def test_seal_rotate_and_unseal(run, built):
    assert "openssl rand" in run("seal", "--gallery", built).stderr
    sealed = run("seal", "--gallery", built, **{KEY: ONE})
    assert "3 embeddings sealed anew, from in the clear to key" in sealed.stdout
    assert "is sealed with key" in run("stats", "--gallery", built).stderr
    rotated = run("rotate-key", "--gallery", built, "--json", **{KEY: TWO, OLD_KEY: ONE})
    assert json.loads(rotated.stdout)["embeddings"] == 3
    assert "sealed with key" in run("stats", "--gallery", built, **{KEY: TWO}).stdout
    assert run("unseal", "--gallery", built, **{KEY: TWO}).exit_code == 0
    assert "in the clear" in run("stats", "--gallery", built).stdout


def test_audit_verify_prints_the_head_and_takes_it_back(run, built):
    state = json.loads(run("audit", "verify", "--gallery", built, "--json").stdout)
    assert (state["rows"], state["faults"]) == (2, [])
    run("forget", "ada", "--gallery", built, "--yes")
    result = run("audit", "verify", "--gallery", built, "--head", state["head"])
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "In order.")


def test_audit_verify_names_the_row_that_was_changed(run, built):
    with open_gallery(built) as gallery:
        gallery.store.write(lambda connection: connection.execute("UPDATE audit SET actor = 'x' WHERE seq = 1").close())
    result = run("audit", "verify", "--gallery", built)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "Row 1 was changed.")
    assert "audit log: Row 1 was changed." in run("check", "--gallery", built).stdout


def test_audit_show_finds_a_subject_by_the_id_that_the_log_does_not_know(run, built):
    result = run("audit", "show", "--gallery", built, "--subject", "ada")
    (line,) = result.stdout.splitlines()
    told, rest = re.split(r"subject:[0-9a-f]{12}\b", line)
    assert "enrol in default" in told
    assert "ada" not in told + rest
    assert run("audit", "show", "--gallery", built, "--action", "swap").stdout == "No such rows.\n"
    newest = json.loads(run("audit", "show", "--gallery", built, "--limit", "1", "--json").stdout)
    assert [entry["seq"] for entry in newest] == [2]


def test_audit_needs_no_key(run, built):
    run("seal", "--gallery", built, **{KEY: ONE})
    assert run("audit", "verify", "--gallery", built).exit_code == 0
    assert "seal" in run("audit", "show", "--gallery", built).stdout


def test_stats_tell_of_the_file_and_what_is_around_it(run, built):
    run("backup", "--gallery", built)
    state = json.loads(run("stats", "--gallery", built, "--json").stdout)["store"]
    assert (state["collections"], state["sealed"], len(state["backups"]), state["pending"]) == (
        {"default": 3},
        "",
        1,
        0,
    )
    assert audit_module.parse_head(state["log"]).seq == 3


def test_check_names_a_backup_that_has_somebody_forgotten(run, built, monkeypatch):
    run("backup", "--gallery", built)
    monkeypatch.setattr("index.store.purge", lambda _: [])
    run("forget", "ada", "--gallery", built, "--yes")
    result = run("check", "--gallery", built)
    assert result.exit_code == 1
    assert "still has somebody who was forgotten" in result.stdout


@pytest.mark.parametrize(
    "command",
    ["backup", "forget x --yes --verify", "subject x", "unseal", "audit verify", "audit show", "export x"],
)
def test_every_command_names_a_gallery_that_is_not_there(run, path, command):
    result = run(*command.split(), "--gallery", path, **{KEY: ONE, "HEIRLOOM_SIGNING_KEY": ONE})
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"no gallery: '{path}'." in result.stderr


@pytest.mark.parametrize("command", sorted(cli.audit.commands))
def test_every_command_of_audit_has_help_and_json(run, command):
    result = run("audit", command, "--help")
    assert (result.exit_code, "--json" in result.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("audit", "show", "--before", "9" * 30), "not in the range"),
        (("audit", "verify", "--head", "9" * 30 + ":" + "0" * 64), "not the head"),
        (("subject", "\udcff"), "not UTF-8"),
        (("forget", "\udcff", "--yes"), "not UTF-8"),
        (("backup", "--to", "no/such/folder/x.heirloom"), "no/such/folder"),
        (("stats", "--collection", "nope"), "index stats lists them"),
    ],
)
def test_what_cannot_be_is_an_error_in_words(run, built, words, said):
    result = run(*words, "--gallery", built)
    assert result.exit_code in (1, 2)
    assert said in result.output
    assert isinstance(result.exception, SystemExit)


def test_a_folder_is_no_gallery(run, built, monkeypatch):
    monkeypatch.chdir(built.parent)
    result = run("stats", "--gallery", ".")
    assert result.exit_code == 1
    assert "no gallery" in result.output


def test_a_file_that_is_refused_leaves_no_empty_gallery(run, built, tmp_path):
    new = tmp_path / "new.heirloom"
    for file in (built, tmp_path / "missing.npz"):
        assert run("import", file, "--gallery", new, "--signed-by", "ab" * 32).exit_code == 1
    assert not new.exists()


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_threshold_that_is_no_number_is_refused(run, built, number):
    result = run("search", __file__, "--gallery", built, "--model", "small-dlib", "--threshold", number)
    assert (result.exit_code, "finite" in result.output or "range" in result.output) == (2, True)
