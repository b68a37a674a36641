"""`app audit verify`."""

import json

import pytest
from click.testing import CliRunner

from app.cli import main
from index.store import open_store


@pytest.fixture
def verify(gallery_path):
    def verify(*options):
        return CliRunner().invoke(main, ["audit", "verify", "--gallery", str(gallery_path), *options])

    return verify


def test_a_whole_log_is_said_to_be_so_with_the_head_to_keep(verify):
    result = verify()
    assert result.exit_code == 0
    word, head = result.stdout.split()
    assert word == "head"
    again = verify("--head", head, "--json")
    assert (again.exit_code, json.loads(again.stdout)) == (0, {"ok": True, "problems": [], "head": head})


def test_a_changed_row_is_named(verify, gallery_path):
    with open_store(gallery_path) as store:
        store.write(lambda connection: connection.execute("UPDATE audit SET actor = 'eve' WHERE seq = 1"))
    result = verify()
    assert result.exit_code == 1
    assert "Row 1 was changed." in result.stdout


def test_what_is_no_head_is_told_in_a_line(verify):
    result = verify("--head", "abc")
    assert result.exit_code == 1
    assert "not the head of an audit log" in result.stderr
