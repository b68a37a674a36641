"""Who was forgotten since a copy of a store was taken, by the store's audit log; and their removal from that copy.

A row that tells of an erasure has the numbers of all Subjects that went: of the one who was forgotten, and of those who
were part of that one then. A copy may have merged otherwise: who is gone leaves it, also as a part of somebody else;
who is not gone stays, and is a Subject of its own where the other goes. A copy that nobody was forgotten since is not
written to.
"""

import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faces.space import SPACE_JSON
from index import audit, merges
from index.collection import Change, Collection
from index.errors import GalleryForeign
from index.sealing import sealing_of
from index.subjects import NUMBER, SUBJECT_ID, erase_rows, find


@dataclass(slots=True)
class Gone:
    numbers: set[int] = field(default_factory=set)
    """Of Subjects, those included who were part of somebody forgotten."""
    templates: set[int] = field(default_factory=set)
    """Ids of those that went alone; no number is given twice, not even after a backup was restored."""
    collections: set[str] = field(default_factory=set)
    digests: set[tuple[str, str]] = field(default_factory=set)
    """(collection, digest) of those whose rows are from before these had numbers, and of whoever was merged with them
    since the copy was taken."""
    undone: set[int] = field(default_factory=set)
    """Numbers of merges that were undone: where there is but a digest, what was one person then is two."""

    def __bool__(self) -> bool:
        return bool(self.numbers or self.templates or self.collections or self.digests)


@dataclass(frozen=True, slots=True)
class Part:
    """Somebody who is part of a Subject of the copy, and does not share its fate."""

    merge: int
    holder: int
    """Number of the Subject that has the Templates in the copy: the last in a chain of merges."""
    gone: bool
    """False: is to stay, as a Subject of its own."""


@dataclass(frozen=True, slots=True)
class Held:
    subjects: list[int]
    """Numbers of those to be erased."""
    templates: list[int]
    """Ids of those that were forgotten alone."""
    parts: list[Part]
    """Whoever is part of another one of these comes first."""

    def __bool__(self) -> bool:
        return bool(self.subjects or self.templates or self.parts)


@dataclass(frozen=True, slots=True)
class _Person:
    number: int
    collection: str
    subject_id: str
    merge: int = 0
    """0: a Subject of its own."""
    kept: int = 0
    """Number of whom the merge made it a part of."""


def rows_since(store: sqlite3.Connection, copy: sqlite3.Connection) -> list[Any] | None:
    """Rows of the store's log after the last that both have. None: the copy is of another store."""
    if not same_store(store, copy):
        return None
    shared = last_shared(store, copy) or 0
    return store.execute("SELECT * FROM audit WHERE seq > ? ORDER BY seq", (shared,)).fetchall()


def same_store(store: sqlite3.Connection, copy: sqlite3.Connection) -> bool:
    """Whether one is a copy of the other, older or newer."""
    identity = "SELECT store_id FROM store"
    return bool(store.execute(identity).fetchone() == copy.execute(identity).fetchone())


def goes_on(store: sqlite3.Connection, copy: sqlite3.Connection) -> bool:
    """Whether the store's log begins with all of the copy's."""
    return last_shared(store, copy) == audit.head(copy).seq


def last_shared(store: sqlite3.Connection, copy: sqlite3.Connection) -> int | None:
    """Number of the last row that is in the logs of both; 0: the store's has all rows, and none is the copy's.

    None: rows were archived since the copy was taken, so that nobody can tell who was forgotten since.
    """
    archived = audit.archived(store)
    for seq, found in copy.execute("SELECT seq, hash FROM audit ORDER BY seq DESC"):
        if (seq, found) == (archived.seq, archived.hash):
            return int(seq)
        if store.execute("SELECT 1 FROM audit WHERE seq = ? AND hash = ?", (seq, found)).fetchone():
            return int(seq)
    return None if archived.seq else 0


def require_known(store: sqlite3.Connection, copy: sqlite3.Connection, path: Path) -> None:
    """path: of the copy. Raises GalleryForeign when the store's log does not reach back to it."""
    if last_shared(store, copy) is None:
        raise GalleryForeign(
            "a backup from before the rows that the audit log still has: nobody can tell who was forgotten since",
            str(path),
            "Delete it, or move it away: forgetting does not reach it.",
        )


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
        elif action == "forget" and "numbers" in body:
            gone.numbers.update(map(int, body["numbers"]))
        elif action == "forget" or (
            action == "merge" and body["merge"] not in gone.undone and (collection, body["into"]) in gone.digests
        ):
            gone.digests.add((collection, subject))
    return gone


def held(copy: sqlite3.Connection, gone: Gone) -> Held:
    """What a copy still has of those who are gone."""
    what = Held([], [], [])
    if not gone:
        return what
    (salt,) = copy.execute("SELECT salt FROM store").fetchone()
    for family in _families(copy):
        dead = _dead(family, gone, salt)
        apart = [each for each in family if each.merge and (each.number in dead) != (each.kept in dead)]
        what.parts.extend(Part(each.merge, family[0].number, each.number in dead) for each in reversed(apart))
        what.subjects.extend(each.number for each in [family[0], *apart] if each.number in dead)
    query = "SELECT id FROM templates WHERE id IN (SELECT value FROM json_each(?))"
    what.templates.extend(row[0] for row in copy.execute(query, (json.dumps(list(gone.templates)),)))
    return what


def _families(copy: sqlite3.Connection) -> Iterator[list[_Person]]:
    """Every Subject, followed by those who are part of it, and of those, and so on."""
    parts: defaultdict[int, list[_Person]] = defaultdict(list)
    for row in copy.execute(
        "SELECT json_extract(m.merged, ?), c.name, json_extract(m.merged, ?), m.number, m.kept FROM merges AS m"
        " JOIN collections AS c ON c.number = m.collection WHERE m.undone IS NULL ORDER BY m.number",
        (f"$[{NUMBER}]", f"$[{SUBJECT_ID}]"),
    ):
        parts[row[-1]].append(_Person(*row))
    for row in copy.execute(
        "SELECT s.number, c.name, s.subject_id FROM subjects AS s JOIN collections AS c ON c.number = s.collection"
    ):
        family = [_Person(*row)]
        for person in family:  # which grows
            family += parts.pop(person.number, [])
        yield family


def _dead(family: list[_Person], gone: Gone, salt: bytes) -> set[int]:
    """Their numbers."""
    found = {each.number for each in family if each.number in gone.numbers or each.collection in gone.collections}
    return found | _dead_by_digest(family, gone, salt) if gone.digests else found


def _dead_by_digest(family: list[_Person], gone: Gone, salt: bytes) -> set[int]:
    found: set[int] = set()
    for each in family:
        if each.merge and each.merge not in gone.undone:
            dead = each.kept in found
        else:
            dead = (each.collection, audit.digest(salt, each.subject_id)) in gone.digests
        if dead:
            found.add(each.number)
    return found


def remove(copy: sqlite3.Connection, what: Held, environment: Mapping[str, str] = os.environ) -> int:
    """How many Templates went. Inside the caller's transaction; the file is to be scrubbed afterwards.

    environment: has the key that the copy is sealed with, where somebody becomes a Subject again.
    Raises GalleryForeign when somebody else of the copy has the id of one who becomes a Subject again, GalleryCorrupt,
    and the errors of `sealing_of`.
    """
    copy.executemany(  # whoever stays may have had the id before
        "UPDATE subjects SET subject_id = char(0) || number WHERE number = ?", [(number,) for number in what.subjects]
    )
    templates = 0
    for part in what.parts:
        if part.gone:
            templates += _remove_part(copy, part)
        else:
            _make_subject(copy, part, environment)
    templates += sum(len(erase_rows(copy, number)[0]) for number in what.subjects)
    for template in what.templates:
        templates += copy.execute("DELETE FROM templates WHERE id = ?", (template,)).rowcount
    copy.execute("DELETE FROM idempotency")  # answers may hold anybody's id
    copy.execute("UPDATE store SET scrub_pending = scrub_pending + 1")
    return templates


def _remove_part(copy: sqlite3.Connection, part: Part) -> int:
    lists = copy.execute("SELECT templates, negatives FROM merges WHERE number = ?", (part.merge,)).fetchone()
    templates, _ = (
        copy.execute(
            f"DELETE FROM {table} WHERE subject = ? AND id IN (SELECT value FROM json_each(?))",  # noqa: S608 - names of ours
            (part.holder, ids),
        ).rowcount
        for table, ids in zip(("templates", "negatives"), lists, strict=True)
    )
    copy.execute("DELETE FROM merges WHERE number = ?", (part.merge,))
    return templates


def _make_subject(copy: sqlite3.Connection, part: Part, environment: Mapping[str, str]) -> None:
    change = _change(copy, part.merge, environment)
    merge = merges.read(change, part.merge)
    if find(copy, change.of, merge.subject_id) is not None:
        raise GalleryForeign(
            f"two people of the id {merge.subject_id}, one of whom was part of somebody who is to go, are in",
            str(change.of.path),
            "Delete it, or move it away.",
        )
    merges.part(change, merge, part.holder)


def _change(copy: sqlite3.Connection, merge: int, environment: Mapping[str, str]) -> Change:
    """To the collection of a merge, as of when that was: a copy knows no later moment."""
    number, name, space, at = copy.execute(
        "SELECT c.number, c.name, c.space, m.created FROM merges AS m JOIN collections AS c ON c.number = m.collection"
        " WHERE m.number = ?",
        (merge,),
    ).fetchone()
    store_id, salt, sealed = copy.execute("SELECT store_id, salt, sealed FROM store").fetchone()
    path = Path(copy.execute("PRAGMA database_list").fetchone()[2])
    sealing = sealing_of(sealed, store_id, environment)
    return Change(copy, Collection(path, number, name, SPACE_JSON.validate_json(space), sealing, salt), "cli", at)
