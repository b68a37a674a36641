"""What there is to say of a store and of the search engine before either is used. No row is written, and no
embedding read."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import faiss

from index.connection import connect, inspect, translated
from index.migrate import DEFAULT
from index.scan import FASTEST, scan_threads
from index.schema import SCHEMA_VERSION
from index.sealing import sealing_of

LATEST: Final = SCHEMA_VERSION
"""The format that this version writes."""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """A store of the latest format."""

    sealed: bool
    collections: int
    subjects: int
    templates: int
    keys: int
    """API keys there ever were."""
    scrub_pending: bool
    """Somebody was forgotten whose bytes have not been overwritten yet."""
    newest: str | None
    """When the audit log was last written, ISO 8601, UTC."""
    space_id: str | None
    """Of the collection `default`; None: there is none."""
    active_model: str | None
    """What finds the model that it was last served with."""


@dataclass(frozen=True, slots=True)
class SearchFacts:
    products: str
    """What codes are multiplied in: int8, or several times slower float32."""
    version: str
    """Of FAISS."""
    level: str
    """Of SIMD instructions, that are in use."""
    available: tuple[str, ...]
    """Levels that this build has code for, and this processor."""
    threads: int
    """That scan at once."""


def format_of(path: Path) -> int:
    """The format of a store, after a quick check of all of its pages. Raises the errors of `connection.inspect`."""
    return inspect(path)


def examine(path: Path, environment: Mapping[str, str]) -> StoreFacts:
    """Of a store of the LATEST format. Opened as a service does it: WAL has to take, and the key to be the right one.

    environment: where the key of a sealed store is looked for.
    Raises the errors of `connection.connect` and of `sealing_of`.
    """
    with closing(connect(path)) as connection, translated(path):
        store_id, sealed, pending = _row(connection, "SELECT store_id, sealed, scrub_pending FROM store")
        sealing_of(sealed, store_id, environment)
        collections, subjects = _row(connection, "SELECT count(*), coalesce(sum(subjects), 0) FROM collections")
        space_id, active_model = _row(
            connection,
            "SELECT max(space_id), max(value) FROM collections LEFT JOIN settings"
            " ON settings.collection = number AND settings.name = 'active_model' WHERE collections.name = ?",
            DEFAULT,
        )
        return StoreFacts(
            sealed=bool(sealed),
            collections=collections,
            subjects=subjects,
            templates=_row(connection, "SELECT coalesce(sum(templates), 0) FROM tallies")[0],
            keys=_row(connection, "SELECT count(*) FROM access_keys")[0],
            scrub_pending=bool(pending),
            newest=_row(connection, "SELECT max(at) FROM audit")[0],
            space_id=space_id,
            active_model=active_model,
        )


def search_facts() -> SearchFacts:
    levels = (name for name in dir(faiss) if name.startswith(_LEVEL) and not name.endswith("COUNT"))
    available = {
        getattr(faiss, name): name.removeprefix(_LEVEL)
        for name in levels
        if faiss.SIMDConfig.is_simd_level_available(getattr(faiss, name))
    }
    names = tuple(available[number] for number in sorted(available))
    return SearchFacts(FASTEST, faiss.__version__, faiss.SIMDConfig.get_level_name(), names, scan_threads())


_LEVEL: Final = "SIMDLevel_"


def _row(connection: sqlite3.Connection, statement: str, *values: object) -> Any:
    return connection.execute(statement, values).fetchone()
