"""A store file in which nothing was ever written, and a collection in which nothing was."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from faces.space import SPACE_JSON, Space
from index.connection import APPLICATION_ID, configure, translated
from index.contract import require_text
from index.errors import CollectionInvalid
from index.migrate import create_tables, new_store_id, write_identity
from index.schema import SCHEMA_VERSION
from index.sealing import new_sealing

_PAGE: Final = 8192  # bytes; 512-d rows waste half of a 4,096-byte page. Fixed once the first table is written


def write_empty(path: Path, spaces: Mapping[str, Space], environment: Mapping[str, str]) -> None:
    """Write a new store file, with empty collections of these names. Raises OSError, CollectionInvalid.

    Its one transaction goes straight into the file: a log beside it would have to be folded in by `close`, which
    does not tell when the disk refuses, and the file gets its name without it.
    """
    path.open("xb").close()  # an OSError says more than SQLite would
    store_id = new_store_id()
    with translated(path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {_PAGE}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        create_tables(connection)
        write_identity(connection, store_id, new_sealing(store_id, environment).state)
        for name, space in spaces.items():
            require_text(name, "name of a collection", CollectionInvalid)
            insert_collection(connection, name, space)
        connection.execute("COMMIT")
        configure(connection, path)


def insert_collection(connection: sqlite3.Connection, name: str, space: Space) -> int:
    """The number of a new, empty collection."""
    cursor = connection.execute(
        "INSERT INTO collections (name, space, space_id, seq, pruned, subjects) VALUES (?, ?, ?, 0, 0, 0)",
        (name, SPACE_JSON.dump_json(space).decode(), space.space_id),
    )
    return int(cursor.lastrowid or 0)
