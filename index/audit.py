"""The audit log: who did what to whom, in rows chained by hashes, so that a changed or missing row shows.

Each row's hash covers the hash of the row before it and all of its own fields. Whoever can write the file can also
write a whole new chain; what tells that is a `Head` that was kept elsewhere. The log knows a Subject by a digest keyed
with the store's salt: it says what was done to somebody whose id one knows, and names nobody.

Old rows may move into an archive (`index.ledger.archive_log`). A row of the log then says up to which, and with which
hash these ended: the chain goes on from there, and `verify` reads archives and log as one.
"""

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple

from index.errors import AuditInvalid

ARCHIVE: Final = "archive"
"""The action of a row that tells of rows which were moved into an archive."""

GENESIS: Final = "0" * 64
"""What stands for the hash of the row before the first."""

_DIGEST: Final = 32  # hex digits of a Subject's digest
_MOST_NUMBERS: Final = 64  # in one body: what a decision takes, and half of the shortest embedding
_LONGEST_TEXT: Final = 300  # characters
_UNSPOKEN: Final = frozenset(
    {"embedding", "external_id", "filename", "image", "metadata", "name", "subject_id", "vector"}
)
_COLUMNS: Final = ("at", "actor", "action", "collection", "subject", "body", "previous", "hash")


@dataclass(frozen=True, slots=True)
class Head:
    """The last row of the log. Kept where nobody who can write the store can write, it vouches for all before it."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Entry:
    seq: int
    at: str
    """ISO 8601, UTC."""
    actor: str
    action: str
    collection: str
    subject: str
    """Digest of the subject id; empty where nobody is meant."""
    body: Mapping[str, Any]
    hash: str


class Line(NamedTuple):
    """A row as `verify` reads it."""

    seq: int
    sound: bool
    """Whether all else is text."""
    fields: tuple[str, ...]
    """at, actor, action, collection, subject, body."""
    previous: str
    hash: str


def digest(salt: bytes, subject_id: str) -> str:
    """What the log calls this Subject: 32 hex digits, HMAC-SHA256. Without the salt an id cannot even be guessed at."""
    return hmac.digest(salt, subject_id.encode(), "sha256").hex()[:_DIGEST]


def append(
    connection: sqlite3.Connection,
    *,
    salt: bytes,
    actor: str,
    action: str,
    collection: str,
    subject_id: str | None,
    body: Mapping[str, Any],
    at: str,
) -> int:
    """The number of the new row. Part of the caller's transaction: it is there if and only if what it tells of is.

    at: ISO 8601, UTC. body: what JSON can hold; of a second Subject it may hold the `digest`.
    Raises AuditInvalid for a body with bytes, with more numbers than a decision takes, or with a key that is for names.
    """
    if not connection.in_transaction:
        raise AssertionError("an audit row belongs into the transaction that it tells of")
    _require_speakable(body)
    before = head(connection)
    seq = max(before.seq, _last_given(connection)) + 1  # never that of a row that somebody removed: the gap is to stay
    subject = "" if subject_id is None else digest(salt, subject_id)
    fields = (at, actor, action, collection, subject, _canonical(body))
    connection.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (seq, *fields, before.hash, _hash(before.hash, seq, fields)),
    )
    return seq


def head(connection: sqlite3.Connection) -> Head:
    """The last row; number 0 with GENESIS while the log is empty."""
    row = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return Head(0, GENESIS) if row is None else Head(*row)


def archived(connection: sqlite3.Connection) -> Head:
    """The last row that was moved into an archive, as the log says; number 0 with GENESIS when none was."""
    row = connection.execute("SELECT body FROM audit WHERE action = ? ORDER BY seq DESC LIMIT 1", (ARCHIVE,)).fetchone()
    with suppress(ValueError, TypeError, LookupError):  # changed: the chain shows it
        if row is not None:
            body = json.loads(row[0])
            return Head(int(body["upto"]), str(body["hash"]))
    return Head(0, GENESIS)


def cut(connection: sqlite3.Connection, last: Head, *, actor: str, at: str) -> int:
    """Remove the rows up to `last`, and say so in a new one; how many that were. Part of the caller's transaction.

    Raises AuditInvalid when there is no such row.
    """
    if connection.execute("SELECT hash FROM audit WHERE seq = ?", (last.seq,)).fetchone() != (last.hash,):
        raise AuditInvalid("no longer a row of this audit log", str(last), "Somebody else archived it: look again.")
    (rows,) = connection.execute("SELECT count(*) FROM audit WHERE seq <= ?", (last.seq,)).fetchone()
    body = {"rows": rows, "upto": last.seq, "hash": last.hash}
    append(connection, salt=b"", actor=actor, action=ARCHIVE, collection="", subject_id=None, body=body, at=at)
    connection.execute("DELETE FROM audit WHERE seq <= ?", (last.seq,))  # now that a row follows on the last of them
    return int(rows)


def drop_archived(connection: sqlite3.Connection) -> None:
    """Remove the rows that are in an archive, from a log that had them still when it went on with another's rows."""
    connection.execute("DELETE FROM audit WHERE seq <= ?", (archived(connection).seq,))


def parse_head(text: str) -> Head:
    """A Head as `str` writes it. Raises AuditInvalid."""
    seq, _, found = text.strip().partition(":")
    if not (
        seq.isascii()
        and seq.isdigit()
        and len(seq) < 19
        and len(found) == len(GENESIS)
        and set(found) <= set("0123456789abcdef")
    ):
        raise AuditInvalid("not the head of an audit log", text, "Give NUMBER:HASH as `index audit verify` printed it.")
    return Head(int(seq), found)


def entries(
    connection: sqlite3.Connection,
    limit: int,
    *,
    before: int | None = None,
    collection: str | None = None,
    action: str | None = None,
    subject: str | None = None,
) -> list[Entry]:
    """Up to `limit` rows, newest first, with numbers below `before`: pages stay put while the log grows.

    subject: a `digest`. None: any.
    """
    wanted = {"seq <": before, "collection =": collection, "action =": action, "subject =": subject}
    asked = {test: value for test, value in wanted.items() if value is not None}
    where = " AND ".join(["1", *(f"{test} ?" for test in asked)])
    rows = connection.execute(
        "SELECT seq, at, actor, action, collection, subject, body, hash FROM audit "  # noqa: S608 - tests are ours
        f"WHERE {where} ORDER BY seq DESC LIMIT ?",
        (*asked.values(), limit),
    )
    return [
        Entry(seq, at, actor, act, place, whom, json.loads(body), found)
        for seq, at, actor, act, place, whom, body, found in rows
    ]


def verify(connection: sqlite3.Connection, kept: Head | None = None, archives: Iterable[Line] = ()) -> list[str]:
    """What is wrong with the log, as sentences; empty when nothing is.

    kept: a Head from before. Without it, a log that was cut off at its end and closed again with care, or written anew
    from some row on, cannot be told from one that never held more. archives: the rows of archives, in their order;
    without, the chain begins where the log says that the last one ended.
    """
    before = list(archives)
    known = {line.seq: line.hash for line in before}
    start = Head(0, GENESIS) if before else archived(connection)
    return [*_chain_faults(connection, start, before), *_kept_faults(connection, kept, start, known)]


def _chain_faults(connection: sqlite3.Connection, last: Head, before: Iterable[Line]) -> Iterator[str]:
    for seq, sound, fields, previous, found in chain(before, _rows(connection)):
        if seq != last.seq + 1:
            yield _missing(last.seq + 1, seq - 1)
        elif previous != last.hash:
            yield f"Row {seq} does not follow on row {last.seq}: one of them was replaced, or they were reordered."
        if not sound or found != _hash(previous, seq, fields):
            yield f"Row {seq} was changed."
        last = Head(seq, found)
    if (given := _last_given(connection)) > last.seq:
        yield _missing(last.seq + 1, given)


def _last_given(connection: sqlite3.Connection) -> int:
    """The highest number that SQLite ever gave a row here."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
    return 0 if row is None else int(row[0])


def _rows(connection: sqlite3.Connection) -> Iterator[Line]:
    """Whatever bytes somebody may have put there."""
    texts = ", ".join(f"CAST({column} AS BLOB)" for column in _COLUMNS)
    sound = " AND ".join(f"typeof({column}) = 'text'" for column in _COLUMNS)
    for seq, is_sound, *row in connection.execute(f"SELECT seq, {sound}, {texts} FROM audit ORDER BY seq"):  # noqa: S608
        *fields, previous, found = [(cell or b"").decode("utf-8", "replace") for cell in row]
        yield Line(seq, bool(is_sound), tuple(fields), previous, found)


def lines_before(connection: sqlite3.Connection, moment: str) -> Iterator[Line]:
    """The rows before the first one from this moment (ISO 8601, UTC) or later, in order."""
    (end,) = connection.execute("SELECT min(seq) FROM audit WHERE at >= ?", (moment,)).fetchone()
    return (line for line in _rows(connection) if end is None or line.seq < end)


def _kept_faults(
    connection: sqlite3.Connection, kept: Head | None, start: Head, before: Mapping[int, str]
) -> Iterator[str]:
    """before: the hashes of archived rows."""
    if kept is None or kept.seq == 0:
        return
    row = connection.execute("SELECT hash FROM audit WHERE seq = ?", (kept.seq,)).fetchone()
    found = {start.seq: start.hash, **before}.get(kept.seq) if row is None else row[0]
    if found is None and kept.seq < start.seq:
        yield f"Row {kept.seq}, the head that you kept, is in an archive: give that, too."
    elif found is None:
        yield f"Row {kept.seq}, the head that you kept, is not there: the log was cut off before it."
    elif found != kept.hash:
        yield f"Row {kept.seq} is not the head that you kept: the log was written anew up to there."


def _missing(first: int, last: int) -> str:
    return f"Row {first} is missing." if first == last else f"Rows {first} to {last} are missing."


def _hash(previous: str, seq: int, fields: tuple[str, ...]) -> str:
    return hashlib.sha256(f"{previous}\n{_canonical([seq, *fields])}".encode("utf-8", "replace")).hexdigest()


def _canonical(value: object) -> str:
    """The one way to write this value as JSON. Mappings of every kind are objects."""
    return json.dumps(value, default=dict, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)


def _require_speakable(body: Mapping[str, Any]) -> None:
    leaves = list(_leaves("body", body))
    for key, value in leaves:
        if key in _UNSPOKEN:
            raise AuditInvalid("the audit log takes no such key", key, "It outlives those it speaks of: leave it out.")
        if not isinstance(value, str | int | float | None):
            raise AuditInvalid(f"the audit log takes no {type(value).__name__} under", key, "Give text or a number.")
        if isinstance(value, str) and len(value) > _LONGEST_TEXT:
            raise AuditInvalid("text too long for the audit log under", key, f"Keep to {_LONGEST_TEXT} characters.")
    if sum(isinstance(value, int | float) for _, value in leaves) > _MOST_NUMBERS:
        raise AuditInvalid(
            f"an audit row with more than {_MOST_NUMBERS} numbers", "body", "Count them instead; embeddings stay out."
        )


def _leaves(key: str, value: object) -> Iterator[tuple[str, object]]:
    """Every value that is neither a mapping nor a list, with the nearest key over it."""
    if isinstance(value, Mapping):
        for inner, part in value.items():
            yield from _leaves(str(inner), part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(key, part)
    else:
        yield key, value
