"""The audit log: what was written stays as it was written, or it shows."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index import audit
from index.audit import Head
from index.errors import AuditInvalid
from index.schema import TABLES

SALT = b"s" * 32
NOON = "2026-01-01T12:00:00+00:00"
COLUMNS = ("at", "actor", "action", "collection", "subject", "body", "previous", "hash")


def log_of(count: int) -> sqlite3.Connection:
    """A store whose log has so many rows."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(TABLES)
    for number in range(count):
        note(connection, body={"count": number})
    return connection


def note(
    connection: sqlite3.Connection,
    *,
    action: str = "enrol",
    collection: str = "default",
    subject_id: str | None = "ada",
    body: object = (),
) -> int:
    connection.execute("BEGIN IMMEDIATE")
    try:
        return audit.append(
            connection,
            salt=SALT,
            actor="cli",
            action=action,
            collection=collection,
            subject_id=subject_id,
            body=dict(body),  # type: ignore[call-overload]
            at=NOON,
        )
    finally:
        connection.execute("COMMIT")


@pytest.fixture
def log() -> Iterator[sqlite3.Connection]:
    with closing(log_of(6)) as connection:
        yield connection


def test_a_log_that_nobody_touched_is_in_order(log):
    assert audit.verify(log) == []
    assert audit.verify(log, audit.head(log)) == []
    assert audit.verify(log_of(0), Head(0, audit.GENESIS)) == []


def test_a_row_tells_who_did_what_to_whom_without_naming_them(log):
    number = note(log, action="forget", body={"templates": 3, "erased": True})
    (newest,) = audit.entries(log, 1)
    assert (newest.seq, newest.at, newest.actor, newest.action) == (number, NOON, "cli", "forget")
    assert newest.body == {"templates": 3, "erased": True}
    assert newest.subject == audit.digest(SALT, "ada")
    assert "ada" not in json.dumps(log.execute("SELECT * FROM audit").fetchall())


def test_a_body_may_be_any_mapping(log):
    frozen = MappingProxyType({"threshold": MappingProxyType({"fpir": 0.01})})
    log.execute("BEGIN IMMEDIATE")
    audit.append(log, salt=SALT, actor="cli", action="x", collection="", subject_id=None, body=frozen, at=NOON)
    log.execute("COMMIT")
    assert audit.entries(log, 1)[0].body == {"threshold": {"fpir": 0.01}}


def test_a_subject_is_known_by_a_digest_that_only_the_salt_can_make():
    assert len(audit.digest(SALT, "ada")) == 32
    assert audit.digest(SALT, "ada") != audit.digest(b"t" * 32, "ada") != audit.digest(b"t" * 32, "bob")


def test_a_row_without_a_subject_has_no_digest(log):
    note(log, subject_id=None)
    assert audit.entries(log, 1)[0].subject == ""


def test_a_row_is_undone_with_the_transaction_that_it_tells_of(log):
    before = audit.head(log)
    log.execute("BEGIN IMMEDIATE")
    audit.append(log, salt=SALT, actor="cli", action="enrol", collection="", subject_id=None, body={}, at=NOON)
    log.execute("ROLLBACK")
    assert audit.head(log) == before
    assert note(log) == before.seq + 1
    assert audit.verify(log) == []


def test_a_row_outside_a_transaction_is_a_fault_of_the_caller(log):
    with pytest.raises(AssertionError, match="transaction"):
        audit.append(log, salt=SALT, actor="cli", action="enrol", collection="", subject_id=None, body={}, at=NOON)


@given(
    row=st.integers(1, 6),
    column=st.sampled_from(COLUMNS),
    value=st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.binary(max_size=5)
    | st.integers(-(2**63), 2**63 - 1),
)
def test_any_field_of_any_row_that_is_changed_shows(row, column, value):
    with closing(log_of(6)) as log:
        before = log.execute("SELECT * FROM audit").fetchall()
        log.execute(f"UPDATE audit SET {column} = ? WHERE seq = ?", (value, row))  # noqa: S608
        changed = log.execute("SELECT * FROM audit").fetchall() != before
        assert (f"Row {row} was changed." in audit.verify(log)) == changed


@given(row=st.integers(1, 6), column=st.sampled_from(COLUMNS))
def test_even_text_that_becomes_bytes_of_the_same_text_shows(row, column):
    with closing(log_of(6)) as log:
        log.execute(f"UPDATE audit SET {column} = CAST({column} AS BLOB) WHERE seq = ?", (row,))  # noqa: S608
        assert f"Row {row} was changed." in audit.verify(log)


def test_text_that_is_no_text_any_more_shows(log):
    log.execute("UPDATE audit SET body = CAST(X'FFFE' AS TEXT) WHERE seq = 2")
    assert audit.verify(log) == ["Row 2 was changed."]


@given(gone=st.sets(st.integers(1, 6), min_size=1))
def test_any_rows_that_are_removed_are_named(gone):
    with closing(log_of(6)) as log:
        log.executemany("DELETE FROM audit WHERE seq = ?", [(row,) for row in gone])
        named = " ".join(audit.verify(log))
    runs = [row for row in sorted(gone) if row - 1 not in gone]
    assert all(f"Row {first} is" in named or f"Rows {first} to" in named for first in runs)
    assert named.count("missing") == len(runs)


def test_rows_that_change_places_show(log):
    log.execute("UPDATE audit SET seq = 100 WHERE seq = 2")
    log.execute("UPDATE audit SET seq = 2 WHERE seq = 3")
    log.execute("UPDATE audit SET seq = 3 WHERE seq = 100")
    faults = audit.verify(log)
    assert "Row 2 does not follow on row 1: one of them was replaced, or they were reordered." in faults
    assert "Row 3 was changed." in faults


def test_a_row_that_was_replaced_hash_and_all_shows_in_the_next(log):
    after = log.execute("SELECT * FROM audit WHERE seq > 3").fetchall()
    log.execute("DELETE FROM audit WHERE seq > 2")
    log.execute("UPDATE sqlite_sequence SET seq = 2 WHERE name = 'audit'")
    assert note(log, action="nothing to see") == 3
    log.executemany("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", after)
    assert audit.verify(log) == ["Row 4 does not follow on row 3: one of them was replaced, or they were reordered."]


def test_a_log_that_is_cut_with_care_shows_against_the_head_that_was_kept(log):
    kept = audit.head(log)
    log.execute("DELETE FROM audit WHERE seq > 4")
    log.execute("UPDATE sqlite_sequence SET seq = 4 WHERE name = 'audit'")
    assert audit.verify(log) == []
    assert audit.verify(log, kept) == ["Row 6, the head that you kept, is not there: the log was cut off before it."]


def test_a_log_that_is_written_anew_shows_against_the_head_that_was_kept(log):
    kept = audit.head(log)
    log.execute("DELETE FROM audit WHERE seq > 2")
    log.execute("UPDATE sqlite_sequence SET seq = 2 WHERE name = 'audit'")
    for _ in range(8):
        note(log, action="nothing to see")
    assert audit.verify(log) == []
    assert audit.verify(log, kept) == ["Row 6 is not the head that you kept: the log was written anew up to there."]


def test_a_removed_tail_leaves_a_gap_that_later_rows_do_not_close(log):
    log.execute("DELETE FROM audit WHERE seq > 4")
    assert note(log) == 7
    assert audit.verify(log) == ["Rows 5 to 6 are missing."]


def test_a_kept_head_reads_back(log):
    kept = audit.head(log)
    assert audit.parse_head(f" {kept}\n") == kept


@pytest.mark.parametrize("text", ["", "6", "6:abc", f"-6:{audit.GENESIS}", f"x:{audit.GENESIS}", f"6:{'g' * 64}"])
def test_what_is_no_head_is_refused(text):
    with pytest.raises(AuditInvalid, match="not the head"):
        audit.parse_head(text)


@pytest.mark.parametrize(
    "body",
    [
        {"photo": b"\xff\xd8"},
        {"probe": np.zeros(128, dtype=np.float32)},
        {"probe": [0.1] * 128},
        {"probe": {"rows": [[0.1] * 8] * 16}},
        {"codes": list(range(128))},
        {"text": "A" * 1366},
        {"name": "Ada"},
        {"subject": {"subject_id": "ada"}},
        {"who": {"ada", "bob"}},
    ],
    ids=["bytes", "an array", "floats", "rows of floats", "codes", "base64", "a name", "a subject id", "a set"],
)
def test_a_body_that_could_hold_a_face_or_a_name_is_refused_and_nothing_is_written(log, body):
    with pytest.raises(AuditInvalid):
        note(log, body=body)
    assert audit.head(log).seq == 6


def test_the_log_is_read_in_pages_newest_first(log):
    first = audit.entries(log, 4)
    note(log)
    second = audit.entries(log, 4, before=first[-1].seq)
    assert [entry.seq for entry in first + second] == [6, 5, 4, 3, 2, 1]


def test_the_log_can_be_asked_for_one_collection_one_action_or_one_subject(log):
    note(log, action="forget", collection="staff", subject_id="bob")
    note(log, action="forget", collection="default", subject_id="cy")
    assert [entry.seq for entry in audit.entries(log, 9, action="forget")] == [8, 7]
    assert [entry.seq for entry in audit.entries(log, 9, action="forget", collection="staff")] == [7]
    assert [entry.seq for entry in audit.entries(log, 9, subject=audit.digest(SALT, "cy"))] == [8]
