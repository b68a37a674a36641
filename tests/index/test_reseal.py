"""A store is sealed, its key changed, and unsealed again: no answer changes, and nothing of before is left."""

import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from index import audit, reseal
from index.connection import connect
from index.errors import GalleryBusy, GalleryCorrupt, SealBroken, StoreKeyMissing, StoreKeyWrong
from index.gallery import Candidate
from index.reseal import Resealed
from index.sealing import KEY, OLD_KEY, key_id
from index.snapshots import folder_of
from index.store import create_store, open_store
from tests.index.fakes import SPACE, random_rows, templates
from tests.index.test_forget import traces

ONE, TWO = bytes(range(32)), bytes(range(100, 132))
WITH_ONE = {KEY: ONE.hex()}
FROM_ONE_TO_TWO = {KEY: TWO.hex(), OLD_KEY: ONE.hex()}
WITH_TWO = {KEY: TWO.hex()}
NOON = "2026-01-01T12:00:00+00:00"
ROWS = random_rows(12, seed=3)
PLAIN = [row.astype("<f2").tobytes() for row in ROWS]


def fill(path: Path, environment: Mapping[str, str] = {}) -> Path:
    """Four Subjects with three Templates each, and a negative example."""
    with create_store(path, {"default": SPACE}, environment=environment) as store:
        gallery = store.gallery()
        for n in range(4):
            gallery.enrol(f"s{n}", templates(*ROWS[3 * n : 3 * n + 3]), space=SPACE)
        gallery.add_negative("s0", random_rows(1, seed=9)[0], space=SPACE, model_id="m")
    return path


def answers(path: Path, environment: Mapping[str, str]) -> list[list[Candidate]]:
    with open_store(path, environment=environment) as store:
        assert store.faults() == []
        return store.gallery().search(random_rows(5, seed=7), 4, space=SPACE)


def blobs(path: Path) -> list[bytes]:
    with closing(connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT embedding FROM templates ORDER BY id")]


def test_a_store_that_is_made_with_a_key_never_holds_an_embedding_in_the_clear(path):
    fill(path, WITH_ONE)
    assert traces(path, *PLAIN) == 0
    assert answers(path, WITH_ONE) == answers(fill(path.with_name("plain.heirloom")), {})


def test_sealing_changes_no_answer_and_leaves_nothing_in_the_clear(path):
    before = answers(fill(path), {})
    assert traces(path, *PLAIN) == len(PLAIN)
    done = reseal.reseal(path, WITH_ONE, NOON)
    assert done == Resealed("", key_id(ONE), 13, erased=True)
    assert traces(path, *PLAIN) == 0
    assert answers(path, WITH_ONE) == before


def test_changing_the_key_changes_no_answer_and_leaves_nothing_of_the_old_key(path):
    before = answers(fill(path, WITH_ONE), WITH_ONE)
    old = blobs(path)
    assert reseal.reseal(path, FROM_ONE_TO_TWO, NOON) == Resealed(key_id(ONE), key_id(TWO), 13, erased=True)
    assert traces(path, *old, ONE, ONE.hex().encode()) == 0
    assert answers(path, WITH_TWO) == before
    with pytest.raises(StoreKeyWrong):
        open_store(path, environment=WITH_ONE)


def test_unsealing_gives_the_embeddings_back_to_the_bit(path):
    fill(path, WITH_ONE)
    reseal.reseal(path, WITH_ONE, NOON, plain=True)
    assert blobs(path) == PLAIN
    assert answers(path, {}) == answers(fill(path.with_name("plain.heirloom")), {})


def test_sealing_twice_does_nothing(path):
    fill(path, WITH_ONE)
    before = blobs(path)
    assert reseal.reseal(path, WITH_ONE, NOON).embeddings == 0
    assert blobs(path) == before


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_a_change_that_is_cut_off_is_taken_up_again_and_the_store_answers_meanwhile(path, monkeypatch, batches):
    before = answers(fill(path, WITH_ONE), WITH_ONE)
    monkeypatch.setattr(reseal, "_BATCH", 3)
    left = iter(range(batches))

    def cut(_: int) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reseal.reseal(path, FROM_ONE_TO_TWO, NOON, report_progress=cut)
    assert answers(path, FROM_ONE_TO_TWO) == before
    with open_store(path, environment=FROM_ONE_TO_TWO) as store:
        store.gallery().enrol("new", templates(-ROWS[0]), space=SPACE)
    with pytest.raises(StoreKeyMissing):
        open_store(path, environment={})
    done = reseal.reseal(path, FROM_ONE_TO_TWO, NOON)
    assert (done.before, done.after, done.embeddings) == (key_id(ONE), key_id(TWO), 13 - 3 * (batches + 1))
    assert [found[0] for found in answers(path, WITH_TWO)] != []


def test_a_change_that_was_begun_is_finished_before_another_begins(path, monkeypatch):
    fill(path, WITH_ONE)
    monkeypatch.setattr(reseal, "_finish", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reseal.reseal(path, FROM_ONE_TO_TWO, NOON)
    monkeypatch.undo()
    with pytest.raises(StoreKeyWrong, match=f"a change to key {key_id(TWO)} was begun"):
        reseal.reseal(path, FROM_ONE_TO_TWO, NOON, plain=True)


def test_sealing_removes_the_cache_files_which_hold_embeddings_in_the_clear(path):
    fill(path)
    with open_store(path) as store:
        store.gallery().compact()
    folder_of(path).mkdir(exist_ok=True)
    (folder_of(path) / "1-ab.segment").write_bytes(b"".join(PLAIN))
    reseal.reseal(path, WITH_ONE, NOON)
    assert traces(path, *PLAIN) == 0


def test_a_store_that_another_process_has_open_is_not_sealed_and_the_process_is_named(path):
    fill(path)
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM store').fetchone();"
    code += "print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(GalleryBusy, match=f"pid {other.pid}"):
            reseal.reseal(path, WITH_ONE, NOON)
        other.communicate()
    assert reseal.reseal(path, WITH_ONE, NOON).erased


def test_damage_is_not_sealed_in(path):
    fill(path)
    with closing(connect(path)) as connection:
        connection.execute("UPDATE templates SET model_id = 'x' WHERE id = 2")
    with pytest.raises(GalleryCorrupt, match="row 2 of templates fails its checksum"):
        reseal.reseal(path, WITH_ONE, NOON)


def test_an_embedding_that_is_given_to_somebody_else_does_not_open_even_with_a_checksum_that_fits(path):
    fill(path, WITH_ONE)
    with closing(connect(path)) as connection:
        embedding = connection.execute("SELECT embedding FROM templates WHERE id = 1").fetchone()[0]
        rows = connection.execute(f"SELECT {reseal.TEMPLATE} FROM templates WHERE id = 4")  # noqa: S608
        *fields, _, _ = rows.fetchone()
        connection.execute(
            "UPDATE templates SET embedding = ?, crc = ? WHERE id = 4", (embedding, reseal.crc(*fields, embedding))
        )
    with pytest.raises(SealBroken, match="belongs elsewhere"), open_store(path, environment=WITH_ONE) as store:
        store.gallery()


def test_a_merge_seals_anew_what_it_moves(path):
    fill(path, WITH_ONE)
    with open_store(path, environment=WITH_ONE) as store:
        gallery = store.gallery()
        gallery.merge("s1", "s0")
    with open_store(path, environment=WITH_ONE) as store:
        assert len(store.gallery().templates("s0")) == 6
        assert np.isclose(store.gallery().search(ROWS[3:4], 1, space=SPACE)[0][0].score, 1, atol=1e-3)


def test_the_log_tells_of_a_change_of_keys_by_their_ids(path):
    fill(path, WITH_ONE)
    reseal.reseal(path, FROM_ONE_TO_TWO, NOON)
    with open_store(path, environment=WITH_TWO) as store:
        (newest,) = store.read(lambda connection: audit.entries(connection, 1, action="seal"))
    assert newest.body == {"from": f"key {key_id(ONE)}", "to": f"key {key_id(TWO)}", "embeddings": 13}
