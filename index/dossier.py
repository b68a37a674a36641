"""All that a store holds on one Subject, in every collection: what that person may ask for (GDPR, article 15)."""

import json
import sqlite3
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from index import audit, subjects, templates
from index.collection import Collection
from index.errors import SubjectUnknown
from index.exchange import opened
from index.rows import details_from_json
from index.sealing import Table
from index.store import Store
from index.subjects import NUMBER, SUBJECT_ID

_ENTRIES: Final = 1_000_000


def export_subject(store: Store, subject_id: str, *, embeddings: bool = False) -> dict[str, Any]:
    """As JSON: the Subject's rows, the Templates without their embeddings unless asked for, and what was done with it.

    Raises SubjectUnknown when no collection has it. What the log tells of somebody who was forgotten stays known by
    `audit.digest` alone, and is asked for by `index audit show --subject`.
    """
    held = store.read(lambda connection: _held(connection, store, subject_id, embeddings))
    if not held["collections"]:
        raise SubjectUnknown("no such Subject in any collection", subject_id, "Check the id that was enrolled.")
    return held


def _held(connection: sqlite3.Connection, store: Store, subject_id: str, embeddings: bool) -> dict[str, Any]:
    names = [row[0] for row in connection.execute("SELECT name FROM collections ORDER BY name")]
    places = {name: _place(connection, store.find(connection, name), subject_id, embeddings) for name in names}
    log = audit.entries(connection, _ENTRIES, subject=store.digest_of(subject_id))
    return {
        "subject_id": subject_id,
        "store_id": store.store_id,
        "collections": {name: place for name, place in places.items() if place is not None},
        "log": [asdict(entry) for entry in reversed(log)],
    }


def _place(connection: sqlite3.Connection, of: Collection, subject_id: str, embeddings: bool) -> dict[str, Any] | None:
    row = subjects.find(connection, of, subject_id)
    if row is None:
        return None
    number, _, _, name, details, expires, created, _ = row
    return {
        "name": name,
        **asdict(details_from_json(details)),
        "expires": expires,
        "created": created,
        "space_id": of.space.space_id,
        "templates": [
            {
                "template_id": found[0],
                "model_id": found[2],
                "source": found[3],
                "quality": json.loads(found[4]),
                "created": found[5],
                **_embedding(of, "templates", found, embeddings),
            }
            for found in templates.rows_of(connection, of, number)
        ],
        "negatives": [
            {
                "id": found[0],
                "model_id": found[2],
                "created": found[3],
                **_embedding(of, "negatives", found, embeddings),
            }
            for found in templates.negative_rows_of(connection, of, [number])
        ],
        "merged_with": [
            json.loads(merged)[SUBJECT_ID]
            for (merged,) in connection.execute(
                "SELECT merged FROM merges WHERE kept = ? AND undone IS NULL ORDER BY number", (row[NUMBER],)
            )
        ],
    }


def _embedding(of: Collection, table: Table, row: Any, wanted: bool) -> dict[str, list[float]]:
    return {"embedding": np.frombuffer(opened(of, table, row), dtype="<f2").tolist()} if wanted else {}
