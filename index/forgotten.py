"""Who was forgotten since a copy of a store was taken, by the store's audit log; and their removal from that copy.

The log knows nobody but by digest, so every Subject of the copy is digested with the salt that both share. A copy that
nobody was forgotten since is not written to.
"""

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from index import audit
from index.subjects import SUBJECT_ID, erase_rows


@dataclass(slots=True)
class Gone:
    subjects: set[tuple[str, str]] = field(default_factory=set)
    """(collection, digest), those who had been merged with somebody forgotten included."""
    templates: set[int] = field(default_factory=set)
    """Ids of those that went alone; no number is given twice, not even after a backup was restored."""
    collections: set[str] = field(default_factory=set)
    undone: set[int] = field(default_factory=set)
    """Numbers of merges that were undone: what was one person then is two."""

    def has(self, collection: str, digest: str) -> bool:
        return collection in self.collections or (collection, digest) in self.subjects


@dataclass(frozen=True, slots=True)
class Held:
    subjects: list[int]
    """Their numbers."""
    templates: list[int]
    """Ids of those that were forgotten alone."""
    merges: list[int]
    """Numbers of merges with somebody who was parted from the other since, and then forgotten."""

    def __bool__(self) -> bool:
        return bool(self.subjects or self.templates or self.merges)


def rows_since(store: sqlite3.Connection, copy: sqlite3.Connection) -> list[Any] | None:
    """Rows of the store's log after the last that both have. None: the copy is of another store."""
    identity = "SELECT store_id FROM store"
    if store.execute(identity).fetchone() != copy.execute(identity).fetchone():
        return None
    shared = _last_shared(store, copy)
    return store.execute("SELECT * FROM audit WHERE seq > ? ORDER BY seq", (shared,)).fetchall()


def goes_on(store: sqlite3.Connection, copy: sqlite3.Connection) -> bool:
    """Whether the store's log begins with all of the copy's."""
    return _last_shared(store, copy) == audit.head(copy).seq


def gone_of(rows: list[Any]) -> Gone:
    """Whom these rows of an audit log say was forgotten."""
    gone = Gone()
    for _, _, _, action, collection, subject, text, *_ in reversed(rows):
        body = json.loads(text)
        if action == "delete_collection":
            gone.collections.add(collection)
        elif action == "undo_merge":
            gone.undone.add(body["merge"])
        elif action == "forget_template":
            gone.templates.add(body["template"])
        elif action == "forget" or (
            action == "merge" and body["merge"] not in gone.undone and gone.has(collection, body["into"])
        ):
            gone.subjects.add((collection, subject))
    return gone


def held(copy: sqlite3.Connection, gone: Gone) -> Held:
    """What a copy still has of those who are gone."""
    if not gone.subjects and not gone.templates and not gone.collections:
        return Held([], [], [])
    (salt,) = copy.execute("SELECT salt FROM store").fetchone()
    everybody = copy.execute(
        "SELECT s.number, c.name, s.subject_id FROM subjects AS s JOIN collections AS c ON c.number = s.collection"
    )
    merges = copy.execute(
        "SELECT m.number, c.name, json_extract(m.merged, ?) FROM merges AS m JOIN collections AS c"
        " ON c.number = m.collection WHERE m.undone IS NULL",
        (f"$[{SUBJECT_ID}]",),
    )
    return Held(
        [number for number, place, subject in everybody if gone.has(place, audit.digest(salt, subject))],
        [
            template
            for (template,) in copy.execute(
                "SELECT id FROM templates WHERE id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(gone.templates)),),
            )
        ],
        [
            number
            for number, place, merged in merges
            if number in gone.undone and gone.has(place, audit.digest(salt, merged))
        ],
    )


def remove(copy: sqlite3.Connection, what: Held) -> int:
    """How many Templates went. Inside the caller's transaction; the file is to be scrubbed afterwards."""
    templates = sum(_remove_part(copy, number) for number in what.merges)
    templates += sum(len(erase_rows(copy, number)) for number in what.subjects)
    for template in what.templates:
        templates += copy.execute("DELETE FROM templates WHERE id = ?", (template,)).rowcount
    copy.execute("DELETE FROM idempotency")  # answers may hold anybody's id
    copy.execute("UPDATE store SET scrub_pending = scrub_pending + 1")
    return templates


def _remove_part(copy: sqlite3.Connection, merge: int) -> int:
    lists = copy.execute("SELECT templates, negatives FROM merges WHERE number = ?", (merge,)).fetchone()
    for table, ids in zip(("templates", "negatives"), map(json.loads, lists), strict=True):
        copy.executemany(f"DELETE FROM {table} WHERE id = ?", [(number,) for number in ids])  # noqa: S608 - names of ours
    copy.execute("DELETE FROM merges WHERE number = ?", (merge,))
    return len(json.loads(lists[0]))


def _last_shared(store: sqlite3.Connection, copy: sqlite3.Connection) -> int:
    for seq, found in copy.execute("SELECT seq, hash FROM audit ORDER BY seq DESC"):
        if store.execute("SELECT 1 FROM audit WHERE seq = ? AND hash = ?", (seq, found)).fetchone():
            return int(seq)
    return 0
