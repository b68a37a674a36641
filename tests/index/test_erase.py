"""`forget --verify`: what is there is found first, and nothing of it afterwards."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from faces.space import Space
from index import audit, erase, scrub
from index.backup import back_up
from index.erase import CODES, FP16, FP32, SEALED, SOURCE, Proof, forget_and_prove
from index.errors import ScanBlind, SubjectUnknown
from index.gallery import Enrolment, Template, open_gallery
from index.sealing import KEY
from index.store import create_store, open_store
from tests.index.fakes import TEACHER_ID, random_rows

PHOTO = "0123456789abcdef" * 4
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DIM = 128
SPACE = Space(teacher="ab" * 32, dim=DIM, crop="arcface-112")
ADA = random_rows(4, seed=1, dim=DIM)
KEYED = {KEY: bytes(range(32)).hex()}


def photos(rows: np.ndarray, source: str = "") -> list[Template]:
    return [Template(row, TEACHER_ID, source) for row in rows]


def fill(path: Path, environment: Mapping[str, str] | None = None) -> Path:
    """Ada among two hundred others, with a cache on disk, and a backup."""
    with create_store(path, {"default": SPACE}, environment=environment or {}) as store:
        gallery = store.gallery()
        others = [Enrolment(f"s{n}", photos(random_rows(2, seed=100 + n, dim=DIM))) for n in range(200)]
        gallery.enrol_all(others[:100], space=SPACE)
        gallery.enrol("ada", photos(ADA, source=PHOTO), space=SPACE)
        gallery.add_negative("ada", random_rows(1, seed=9, dim=DIM)[0], space=SPACE, model_id="m")
        gallery.enrol_all(others[100:], space=SPACE)
        gallery.compact()
    back_up(path, None, NOON)
    return path


def seen(proof: Proof, what: str) -> tuple[int, dict[str, int], dict[str, int]]:
    (sighting,) = [sighting for sighting in proof.sightings if sighting.what == what]
    return sighting.sought, sighting.before, sighting.after


def test_every_form_of_every_template_is_found_where_it_is_and_then_nowhere(path):
    proof = forget_and_prove(fill(path), "ada", "default")
    (segment,) = [name for name in seen(proof, CODES)[1] if ".cache/" in name]
    backup = "people.heirloom.backups/people-20260101T120000Z.heirloom"
    assert seen(proof, FP16) == (5, {path.name: 5, backup: 5, segment: 4}, {})
    assert seen(proof, CODES) == (4, {segment: 4}, {})
    assert seen(proof, SOURCE) == (4, {path.name: 4, backup: 4}, {})
    assert seen(proof, FP32) == (5, {}, {})
    assert seen(proof, SEALED) == (0, {}, {})
    assert (proof.erased, proof.untold, proof.shared, proof.receipt.templates) == (True, 0, 0, 4)
    assert proof.files >= 3


def test_the_proof_is_in_the_log_and_holds_no_byte_of_what_it_looked_for(path):
    forget_and_prove(fill(path), "ada", "default")
    with open_gallery(path) as gallery:
        (entry,) = gallery.store.read(lambda connection: audit.entries(connection, 1))
        assert gallery.check() == []
    assert (entry.action, entry.body["after"]) == ("prove", 0)
    assert entry.body["sought"] > 0 < entry.body["before"]


def test_a_sealed_store_is_searched_for_what_is_sealed_and_never_held_anything_in_the_clear(path, monkeypatch):
    for name, value in KEYED.items():
        monkeypatch.setenv(name, value)
    proof = forget_and_prove(fill(path, KEYED), "ada", "default")
    sought, before, after = seen(proof, SEALED)
    assert (sought, before[path.name], after) == (5, 5, {})
    assert seen(proof, FP16)[1:] == ({}, {})
    assert proof.erased


def test_a_scan_that_does_not_see_what_is_there_deletes_nothing(path, monkeypatch):
    fill(path)
    monkeypatch.setattr(erase.Files, "search", lambda *_: [])
    with pytest.raises(ScanBlind, match="5 of 5"):
        forget_and_prove(path, "ada", "default")
    with open_gallery(path) as gallery:
        assert gallery.subject("ada").templates == 4


def test_what_is_left_in_a_copy_beside_the_store_is_named(path):
    fill(path)
    copy = path.with_name(path.name + ".bak")
    copy.write_bytes(path.read_bytes())
    proof = forget_and_prove(path, "ada", "default")
    assert not proof.erased
    assert seen(proof, FP16)[2] == {copy.name: 5}


def test_bytes_that_another_subject_has_too_stay_with_it_and_are_said_to_be_shared(path):
    fill(path)
    with open_gallery(path) as gallery:
        gallery.enrol("twin", photos(ADA[:1], source=PHOTO), space=SPACE)
        gallery.compact()
    proof = forget_and_prove(path, "ada", "default")
    assert (proof.erased, proof.shared) == (True, 4)  # the photo's digest was that of all four
    with open_gallery(path) as gallery:
        assert gallery.subject("twin").templates == 1


def test_an_embedding_that_nothing_tells_from_others_is_not_looked_for_and_counted(path):
    with create_store(path, {"default": SPACE}, environment={}) as store:
        store.gallery().enrol("ada", photos(np.eye(1, DIM, dtype=np.float32)), space=SPACE)
    proof = forget_and_prove(path, "ada", "default")
    assert (proof.untold, proof.erased) == (2, True)


def test_backups_that_were_made_elsewhere_are_named(path, tmp_path):
    fill(path)
    made = back_up(path, tmp_path / "usb.heirloom", NOON)
    assert forget_and_prove(path, "ada", "default").elsewhere == [str(made.path)]


def test_nobody_of_that_id_is_an_error(path):
    with pytest.raises(SubjectUnknown):
        forget_and_prove(fill(path), "mallory", "default")


def test_a_reader_that_is_in_the_way_delays_the_erasure_and_the_proof_says_so(path, monkeypatch):
    monkeypatch.setattr(scrub, "WAIT", 0.0)
    fill(path)
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN'); "
    code += "c.execute('SELECT * FROM store').fetchone(); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        proof = forget_and_prove(path, "ada", "default")
        assert not proof.erased
        assert sum(seen(proof, FP16)[2].values()) > 0
        reader.communicate()
    with open_store(path) as store:
        assert store.scrub_pending() == 0
